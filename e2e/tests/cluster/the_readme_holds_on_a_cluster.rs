//! The README's section "On a cluster", command by command: from nothing to a denied and then an allowed call.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use smidge_e2e::{Node, Tool, eventually, repository, world::beside_this_test};
use tempfile::TempDir;
use tokio::process::Command;

/// A line of the README that a user types, and what its comment says that the answer holds.
struct Step {
    command: String,
    expected: Option<String>,
}

fn steps() -> Result<Vec<Step>> {
    let readme = std::fs::read_to_string(repository().join("README.md"))?;
    let section = readme.split("\n## ").find_map(|part| part.strip_prefix("On a cluster\n"));
    let lines = section.context("the README has no section `On a cluster`")?.lines();
    let commands = lines.filter_map(|line| line.strip_prefix("    "));
    Ok(commands.filter(|command| !command.starts_with("cargo ")).map(step).collect())
}

fn step(line: &str) -> Step {
    let (command, comment) = line.split_once(" # ").unwrap_or((line, ""));
    let (command, expected) = (command.trim(), comment.trim().trim_start_matches("still "));
    let expected = match expected {
        // Other tests' namespaces come and go meanwhile: a moment later all is well again.
        _ if command == "smidge check" => Some("✓".to_owned()),
        said if said.starts_with('"') => Some(said.to_owned()),
        _ => None,
    };
    Step { command: command.to_owned(), expected }
}

#[tokio::test]
async fn from_nothing_to_a_denied_and_then_an_allowed_call() -> Result<()> {
    let node = Node::meshed().await?;
    let folder = commands()?;
    let steps = steps()?;
    ensure!(steps.iter().filter(|step| step.expected.is_some()).count() >= 3, "the README shows what to expect");
    for Step { command, expected } in steps {
        let run = async || {
            let path = format!("{}:{}", folder.path().display(), std::env::var("PATH")?);
            let mut shell = Command::new("bash");
            shell.args(["-ec", &command]).current_dir(repository()).env("PATH", path);
            let output = shell.env("KUBECONFIG", node.api.kubeconfig()).output().await?;
            let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
            ensure!(output.status.success(), "$ {command}\n{text}");
            Ok(text)
        };
        match expected {
            None => drop(explained(node, run().await).await?),
            Some(expected) => {
                let answer = async || match run().await? {
                    answer if answer.contains(&expected) => Ok(()),
                    answer => bail!("$ {command}\n{answer}\nand no {expected} in it"),
                };
                let seen = eventually(&expected, Duration::from_secs(20), answer).await;
                explained(node, seen).await?;
            }
        }
    }
    Ok(())
}

/// A folder with `kubectl` and `smidge` as a shell finds them.
fn commands() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for (name, path) in [("kubectl", Tool::Kubectl.path()?), ("smidge", beside_this_test("smidge")?)] {
        std::os::unix::fs::symlink(&path, folder.path().join(name)).context(path.display().to_string())?;
    }
    Ok(folder)
}

async fn explained<T>(node: &Node, result: Result<T>) -> Result<T> {
    match result {
        Ok(value) => Ok(value),
        Err(error) => {
            let pods = node.api.kubectl(&["describe", "pods", "-n", "bookstore"]).await.unwrap_or_default();
            let select = ["-n", "smidge-system", "-l", "app.kubernetes.io/name=smidge-operator"];
            let logs = node.api.kubectl(&[&["logs", "--tail=200", "--prefix"], &select[..]].concat()).await;
            Err(error.context(format!("{pods}\n{}", logs.unwrap_or_default())))
        }
    }
}

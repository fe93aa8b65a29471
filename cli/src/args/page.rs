//! `docs/cli.md` is what the commands say of themselves. `UPDATE=1 cargo test --workspace --bin smidge args::page` rewrites it.

use std::{env, fmt::Write, fs, path::Path};

use super::command;

const HEAD: &str = "# The command line

This page is made from what each command says with `--help`.

- Commands that look at a cluster use the one that kubectl would use (`KUBECONFIG`, else `~/.kube/config`), with your own rights; what
  you may not read is told, with the right that is missing. `authz` and `describe` look at two and at all namespaces.
- With `-o json` a command says the same as JSON.
- Colours are for terminals; `NO_COLOR=1` turns them off.
- As `kubectl-smidge` on the `PATH` (a link to `smidge` will do) it is `kubectl smidge`.
- `smidge completion bash`, `zsh`, `fish`, `elvish` or `powershell` prints what that shell needs: `source <(smidge completion bash)`.
";

#[test]
fn the_page_is_what_the_commands_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let mut all = command().bin_name("smidge");
    all.build();
    let mut page = HEAD.to_owned();
    describe(&all, &mut page);
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).expect("docs/ is there");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/cli.md is out of date: UPDATE=1 cargo test --workspace --bin smidge args::page");
}

fn describe(command: &clap::Command, page: &mut String) {
    let shown = command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help");
    for one in shown {
        let name = one.get_bin_name().unwrap_or_default();
        let help = one.clone().render_long_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        write!(page, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()).expect("a string takes all");
        describe(one, page);
    }
}

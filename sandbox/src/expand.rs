//! Variables in arguments, as the kubelet replaces them: `$(NAME)`; `$$` is a dollar; what is not known stays as it is.
//! (<https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>)

/// The argument as its container gets it.
pub fn expand(argument: &str, variables: &[(&str, &str)]) -> String {
    let mut expanded = String::new();
    let mut rest = argument;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let named = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        rest = if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            after
        } else if let Some((name, after)) = named {
            let value = variables.iter().find(|(known, _)| *known == name);
            expanded.push_str(&value.map_or_else(|| format!("$({name})"), |(_, value)| (*value).to_owned()));
            after
        } else {
            expanded.push('$');
            after
        };
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_replaced_and_doubled_dollars_are_dollars() {
        let variables = [("IP", "10.1.0.2")];
        for (argument, expected) in [
            ("a $(IP):80 b", "a 10.1.0.2:80 b"),
            ("$$(IP) $$$(IP)", "$(IP) $10.1.0.2"),
            ("$(OTHER) $5 $(open", "$(OTHER) $5 $(open"),
        ] {
            assert_eq!(expand(argument, &variables), expected);
        }
    }
}

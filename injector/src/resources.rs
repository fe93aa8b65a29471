//! A sidecar's resources: Kubernetes' quantities, and the number of threads that follows from the CPU limit.

/// Requests and limits as Kubernetes writes them (`100m`, `128Mi`); `None`: not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// CPU that the scheduler sets aside.
    pub cpu_request: Option<String>,
    /// CPU that Envoy gets at most; its threads follow from it.
    pub cpu_limit: Option<String>,
    /// Memory that the scheduler sets aside.
    pub memory_request: Option<String>,
    /// Memory at which Envoy is ended.
    pub memory_limit: Option<String>,
}

impl From<&smidge_crds::smidge::v1alpha1::Resources> for Resources {
    fn from(asked: &smidge_crds::smidge::v1alpha1::Resources) -> Self {
        let (requests, limits) = (asked.requests.clone(), asked.limits.clone());
        Self {
            cpu_request: requests.cpu,
            cpu_limit: limits.cpu,
            memory_request: requests.memory,
            memory_limit: limits.memory,
        }
    }
}

/// The threads of a proxy without a CPU limit: as many as the node has cores would cost memory for each.
const UNLIMITED: u64 = 2;

impl Resources {
    /// Envoy's worker threads: the CPU limit rounded up, at least 1.
    pub fn concurrency(&self) -> u64 {
        let limit = self.cpu_limit.as_deref().and_then(thousandths);
        limit.map_or(UNLIMITED, |milli| u64::try_from(milli.div_ceil(1000)).unwrap_or(u64::MAX).clamp(1, 1024))
    }
}

/// A quantity in thousandths, rounded up; `None` for what Kubernetes would not take.
/// (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>)
pub(crate) fn thousandths(text: &str) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let too_long = number.len() > 18 || fraction.contains('.');
    if too_long || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let digits: u128 = format!("0{whole}{fraction}").parse().ok()?;
    let (multiplier, divisor) = scale(suffix)?;
    let divisor = divisor * 10u128.pow(u32::try_from(fraction.len()).ok()?);
    Some((digits * multiplier * 1000).div_ceil(divisor))
}

/// What a suffix multiplies and divides by.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    const DECIMAL: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const SMALL: [&str; 4] = ["", "m", "u", "n"];
    let power = |base: u128, of: &[&str]| of.iter().zip(0..).find(|(s, _)| **s == suffix).map(|(_, n)| base.pow(n));
    let exponent = || suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok().filter(|n| (-9..=18).contains(n));
    let large = power(1000, &DECIMAL).or_else(|| power(1024, &BINARY)).map(|by| (by, 1));
    let small = || power(1000, &SMALL).map(|by| (1, by));
    let written = || exponent().map(|n| (10u128.pow(n.max(0).unsigned_abs()), 10u128.pow((-n).max(0).unsigned_abs())));
    large.or_else(small).or_else(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, expected) in [
            ("2", Some(2000)),
            ("0.1", Some(100)),
            (".5", Some(500)),
            ("1.", Some(1000)),
            ("250m", Some(250)),
            ("1u", Some(1)),
            ("2k", Some(2_000_000)),
            ("1Ki", Some(1_024_000)),
            ("2e3", Some(2_000_000)),
            ("5e-1", Some(500)),
            ("1E", Some(1_000_000_000_000_000_000_000)),
            ("", None),
            (".", None),
            ("-1", None),
            ("1 ", None),
            ("two", None),
            ("1.2.3", None),
            ("1e99", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }

    #[test]
    fn a_thread_for_each_core_of_the_limit_that_is_begun() {
        for (limit, expected) in [(Some("100m"), 1), (Some("1"), 1), (Some("1001m"), 2), (Some("0"), 1), (None, 2)] {
            let cpu_limit = limit.map(str::to_owned);
            let resources = Resources { cpu_request: None, cpu_limit, memory_request: None, memory_limit: None };
            assert_eq!(resources.concurrency(), expected, "{limit:?}");
        }
    }
}

//! Weights of TrafficSplit v1alpha1, Kubernetes quantities → the whole numbers of later versions.

use serde_json::Value;

/// The largest weight that is told apart from larger ones, in thousandths: no sum of weights overflows.
const LARGEST: u128 = 10u128.pow(24);

/// Quantities as whole weights in the same ratios, whose sum stays below 2³². `None` if one is no quantity.
///
/// Whole quantities stay as they are. If one has a fraction, all are counted in thousandths (as Kubernetes does,
/// smaller parts are rounded up) and divided by what they have in common.
pub(super) fn whole_weights(quantities: &[Value]) -> Option<Vec<u32>> {
    let thousandths: Vec<u128> = quantities.iter().map(thousandths).collect::<Option<_>>()?;
    let unit = match thousandths.iter().all(|weight| weight % 1000 == 0) {
        true => 1000,
        false => thousandths.iter().copied().fold(0, greatest_common_divisor),
    };
    Some(fitted(thousandths.iter().map(|weight| weight / unit).collect()))
}

/// The weight as v1alpha1 writes it.
pub(super) fn canonical(weight: u32) -> Value {
    weight.to_string().into()
}

/// Envoy adds weights up in 32 bits. A share that is not nothing stays so.
fn fitted(weights: Vec<u128>) -> Vec<u32> {
    let sum = weights.iter().fold(0u128, |sum, weight| sum.saturating_add(*weight));
    let limit = u128::from(u32::MAX);
    // What rounding up to 1 may add.
    let room = limit.saturating_sub(weights.len() as u128);
    let fit = |weight: u128| match sum > limit {
        true if weight > 0 => (weight * room / sum).max(1),
        _ => weight,
    };
    weights.into_iter().map(|weight| u32::try_from(fit(weight)).unwrap_or(u32::MAX)).collect()
}

fn greatest_common_divisor(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// A quantity in thousandths.
fn thousandths(quantity: &Value) -> Option<u128> {
    match quantity {
        Value::Number(number) => number.as_u64().map(|number| (u128::from(number) * 1000).min(LARGEST)),
        Value::String(text) => parse(text),
        _ => None,
    }
}

fn parse(text: &str) -> Option<u128> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.contains('.') || (whole.is_empty() && part.is_empty()) {
        return None;
    }
    let digits = whole.bytes().chain(part.bytes()).map(|digit| u128::from(digit - b'0'));
    let mantissa = digits.fold(0u128, |value, digit| value.saturating_mul(10).saturating_add(digit));
    let (ten, two) = exponents(suffix)?;
    let ten = ten + 3 - i32::try_from(part.len()).ok()?;
    Some(times_power_of_ten(mantissa.saturating_mul(1u128 << two), ten).min(LARGEST))
}

/// What a suffix multiplies by, as exponents of 10 and of 2.
fn exponents(suffix: &str) -> Option<(i32, u32)> {
    let decimal = |exponent| Some((exponent, 0));
    let binary = |exponent| Some((0, exponent));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => decimal(suffix.strip_prefix(['e', 'E'])?.parse::<i8>().ok()?.into()),
    }
}

fn times_power_of_ten(value: u128, exponent: i32) -> u128 {
    let power = 10u128.checked_pow(exponent.unsigned_abs());
    match (exponent < 0, power) {
        (false, Some(power)) => value.saturating_mul(power),
        (false, None) => value.saturating_mul(u128::MAX),
        (true, Some(power)) => value.div_ceil(power),
        (true, None) => u128::from(value > 0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::whole_weights;

    fn check(quantities: Value, expected: &[u32]) {
        let quantities = quantities.as_array().unwrap();
        assert_eq!(whole_weights(quantities).as_deref(), Some(expected), "{quantities:?}");
    }

    #[test]
    fn whole_quantities_stay_as_they_are() {
        check(json!(["90", "10"]), &[90, 10]);
        check(json!(["1000m", 2, "1k", "1e3", "1Ki"]), &[1, 2, 1000, 1000, 1024]);
        check(json!(["0", "0m"]), &[0, 0]);
    }

    #[test]
    fn fractions_become_whole_in_the_same_ratios() {
        check(json!(["500m", "1"]), &[1, 2]);
        check(json!(["0.9", ".1", "0"]), &[9, 1, 0]);
        check(json!(["333m", "667m"]), &[333, 667]);
        check(json!(["1n", "1"]), &[1, 1000]);
    }

    #[test]
    fn the_sum_stays_below_two_to_the_32_and_no_share_vanishes() {
        for quantities in [json!(["1E", "1"]), json!(["1e99", "1e-99", "9Ei"]), json!([u64::MAX, u64::MAX, 1])] {
            let weights = whole_weights(quantities.as_array().unwrap()).unwrap();
            assert!(weights.iter().map(|&weight| u64::from(weight)).sum::<u64>() < 1 << 32, "{weights:?}");
            assert!(weights.iter().all(|&weight| weight > 0), "{weights:?}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in ["", ".", "1.2.3", "-1", "much", "1e", "1e999", "1x"] {
            assert_eq!(whole_weights(&[json!(text)]), None, "{text}");
        }
    }
}

//! Amounts and shares, compared.

use kiban_base::quantity::Quantity;
use serde_json::Value;

/// Whether two values are the same amount: `1Gi` and `1024Mi` are.
pub fn is_same(a: &Value, b: &Value) -> bool {
    match (Quantity::from_json(a), Quantity::from_json(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// Whether `a` is less than `b`; `None` when they cannot be compared (one is a share and the other
/// is not, or one is neither).
pub fn is_less(a: &Value, b: &Value) -> Option<bool> {
    match (share(a), share(b)) {
        (Some(a), Some(b)) => Some(a < b),
        (None, None) => Some(Quantity::from_json(a).ok()? < Quantity::from_json(b).ok()?),
        _ => None,
    }
}

/// `25%` as a number.
fn share(value: &Value) -> Option<f64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shares_compare_only_with_shares() {
        assert_eq!(is_less(&json!("20%"), &json!("25%")), Some(true));
        assert_eq!(is_less(&json!(1), &json!("25%")), None);
        assert_eq!(is_less(&json!("1Gi"), &json!("1024Mi")), Some(false));
        assert!(is_same(&json!("1Gi"), &json!("1024Mi")));
        assert_eq!(is_less(&json!("x"), &json!("y")), None);
    }
}

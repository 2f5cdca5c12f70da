//! Calls of AWS' query protocol (STS): a form in, XML out, of which single values are needed.

/// The text of the first element with this name; entities resolved. AWS nests, and repeats no name that is asked
/// for here.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let (_, rest) = xml.split_once(&open)?;
    let (text, _) = rest.split_once(&close)?;
    let mut plain = text.trim().to_owned();
    for (entity, c) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")] {
        plain = plain.replace(entity, c);
    }
    Some(plain)
}

/// A form's body.
pub(super) fn body(fields: &[(&str, &str)]) -> String {
    let encoded: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}={}", super::sigv4::encode(name), super::sigv4::encode(value)))
        .collect();
    encoded.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_and_forms_are_encoded() {
        let xml = "<R><Credentials><A>x&amp;lt;</A><B> y </B></Credentials></R>";
        assert_eq!(element(xml, "A").as_deref(), Some("x&lt;"));
        assert_eq!(element(xml, "B").as_deref(), Some("y"));
        assert_eq!(element(xml, "C"), None);
        assert_eq!(element("<A>open", "A"), None);
        assert_eq!(body(&[("Action", "A b"), ("T", "=/")]), "Action=A%20b&T=%3D%2F");
    }
}

//! What grants a permission that was refused: read from the API server's own words.
//!
//! Contract: the message of a 403 by authorization, `User "U" cannot V resource "R" in API group "G" in
//! the namespace "N"` or `… at the cluster scope` (k8s.io/apiserver, endpoints/handlers/responsewriters).
//! A 403 by admission (a quota, a policy) says something else, and no role helps.

/// The rule that grants it, for people; none where the message is no refusal by authorization.
pub(super) fn grant(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("User \"")?;
    let (user, rest) = rest.split_once("\" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once('"')?;
    let group = rest.strip_prefix(" in API group \"").and_then(|r| r.split_once('"'));
    let (group, rest) = group?;
    let namespace =
        rest.split_once("in the namespace \"").and_then(|(_, r)| r.split_once('"')).map(|(n, _)| n);
    let subject = match user.strip_prefix("system:serviceaccount:").and_then(|u| u.split_once(':')) {
        Some((namespace, name)) => format!("ServiceAccount {name} of namespace {namespace}"),
        None => format!("User {user}"),
    };
    let (role, binding) = match namespace {
        Some(namespace) => (format!("a Role in namespace {namespace}"), "RoleBinding"),
        None => ("a ClusterRole".to_owned(), "ClusterRoleBinding"),
    };
    Some(format!(
        "to allow it, bind {subject} by a {binding} to {role} with the rule apiGroups: [{group:?}], resources: [{resource}], verbs: [{verb}]"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_who_may_not_do_what_and_what_grants_it() {
        for (message, expected) in [
            (
                "deployments.apps \"orders\" is forbidden: User \"system:serviceaccount:checkout-dev:deployer\" cannot patch resource \"deployments\" in API group \"apps\" in the namespace \"checkout-dev\"",
                Some(
                    "to allow it, bind ServiceAccount deployer of namespace checkout-dev by a RoleBinding to a Role in namespace checkout-dev with the rule apiGroups: [\"apps\"], resources: [deployments], verbs: [patch]",
                ),
            ),
            (
                "serviceaccounts \"deployer\" is forbidden: User \"kiban\" cannot impersonate resource \"serviceaccounts\" in API group \"\" in the namespace \"checkout-dev\"",
                Some(
                    "to allow it, bind User kiban by a RoleBinding to a Role in namespace checkout-dev with the rule apiGroups: [\"\"], resources: [serviceaccounts], verbs: [impersonate]",
                ),
            ),
            (
                "namespaces is forbidden: User \"bob\" cannot create resource \"namespaces\" in API group \"\" at the cluster scope",
                Some(
                    "to allow it, bind User bob by a ClusterRoleBinding to a ClusterRole with the rule apiGroups: [\"\"], resources: [namespaces], verbs: [create]",
                ),
            ),
            ("pods \"x\" is forbidden: exceeded quota: q, requested: pods=1", None),
            ("User \"x", None),
            ("", None),
        ] {
            assert_eq!(grant(message).as_deref(), expected, "{message}");
        }
    }
}

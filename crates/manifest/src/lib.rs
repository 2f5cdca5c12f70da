//! App to Kubernetes objects: rules, laws, explanations, semantic diff.

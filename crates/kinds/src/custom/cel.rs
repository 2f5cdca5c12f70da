//! The rules of `x-kubernetes-validations`: an expression language (CEL), read and evaluated within bounds.
//!
//! The language of the rules is all there (operators, fields, indexes, lists, maps, macros, `? :`), of the
//! functions those that rules use most. A rule with another function is not run, and who writes its
//! definition is warned so. Contract: the language definition of github.com/google/cel-spec, and Kubernetes'
//! own functions and escapes of field names.

mod eval;
mod functions;
mod parse;

use serde_json::Value;

pub(crate) use eval::Budget;
pub(crate) use parse::Expr;

use eval::V;

/// An expression that was read.
#[derive(Debug, Clone)]
pub struct Program {
    expr: Expr,
    /// It names `oldSelf`.
    pub(crate) uses_old: bool,
}

impl Program {
    /// Reads an expression.
    ///
    /// # Errors
    /// Where it is wrong, or what of it is not known here.
    pub fn new(text: &str) -> Result<Self, String> {
        let expr = parse::read(text)?;
        functions::check(&expr)?;
        Ok(Self { uses_old: expr.names("oldSelf"), expr })
    }

    /// Whether it is true of a value. `old` is the value before, where there is one.
    ///
    /// # Errors
    /// Why it could not be evaluated.
    pub(crate) fn holds(&self, scope: Scope<'_>, budget: &mut Budget) -> Result<bool, String> {
        match eval::run(&self.expr, scope.variables(), budget)? {
            V::Bool(holds) => Ok(holds),
            _ => Err("the rule is no question of true or false".to_owned()),
        }
    }

    /// The text that it makes.
    pub(crate) fn text(&self, scope: Scope<'_>, budget: &mut Budget) -> Option<String> {
        match eval::run(&self.expr, scope.variables(), budget) {
            Ok(V::Text(text)) => Some(text.into_owned()).filter(|t| !t.trim().is_empty()),
            _ => None,
        }
    }
}

/// What an expression may speak of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'v> {
    /// The value.
    pub(crate) this: &'v Value,
    /// The value before.
    pub(crate) old: Option<&'v Value>,
    /// `oldSelf` is an optional.
    pub(crate) optional: bool,
}

impl<'v> Scope<'v> {
    fn variables(self) -> Vec<(String, V<'v>)> {
        let old = match (self.old, self.optional) {
            (Some(old), false) => Some(V::of(old)),
            (old, true) => Some(V::Optional(old.map(|o| Box::new(V::of(o))))),
            (None, false) => None,
        };
        let this = std::iter::once(("self".to_owned(), V::of(self.this)));
        this.chain(old.map(|old| ("oldSelf".to_owned(), old))).collect()
    }
}

#[cfg(test)]
mod tests;

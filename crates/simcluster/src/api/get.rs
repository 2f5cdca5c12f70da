//! One object.

use hyper::Response;
use kiban_runtime::http::Body;

use super::path::Target;
use super::{Api, Call, custom, respond, twin};
use crate::kind::KindId;
use crate::object::{Key, Stored};
use crate::status::ApiError;

impl Target {
    /// The key of the one object, where a name is given.
    pub(super) fn key(&self) -> Key {
        Key::new(self.namespace.as_str(), self.name.as_deref().unwrap_or_default())
    }
}

impl Api {
    pub(super) fn get(&self, target: &Target, call: &Call) -> Result<Response<Body>, ApiError> {
        let object = self.find(target.kind, &target.key())?;
        self.respond(200, &object, call)
    }

    pub(super) fn find(&self, kind: KindId, key: &Key) -> Result<std::sync::Arc<Stored>, ApiError> {
        let found = self.cluster.get(twin::kept_kind(kind), key);
        found
            .map(|o| custom::view(&self.cluster.customs(), kind, o))
            .ok_or_else(|| ApiError::not_found(kind, &key.name))
    }

    pub(super) fn respond(
        &self,
        code: u16,
        object: &Stored,
        call: &Call,
    ) -> Result<Response<Body>, ApiError> {
        let include = respond::include(&call.params.include_object)?;
        let columns = call.customs.version(object.kind).map(|v| &v.columns);
        Ok(respond::object(code, object, &call.accept.form, include, self.cluster.now(), columns))
    }
}

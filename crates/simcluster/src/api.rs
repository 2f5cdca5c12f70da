//! The HTTP API: one generic handler over the kind table.
//!
//! ```text
//!   request ─► auth ─► path (what is asked) ─► params ─► list | watch | get | write | delete
//!                                                         │
//!                                     respond (JSON, Table, metadata only; Status on refusal)
//! ```

mod body;
mod custom;
mod discovery;
mod get;
mod list;
mod login;
mod params;
mod patch;
mod path;
mod permit;
mod respond;
mod review;
mod scale;
mod subresource;
mod swagger;
#[cfg(test)]
mod tests;
mod token;
mod twin;
mod watch;
mod write;

use std::sync::{Arc, LazyLock};

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use kiban_runtime::http::{Body, Handler};
use kiban_runtime::shutdown::Shutdown;

use crate::custom::Table;
use crate::kind::{KindId, well_known::CONFIG_MAP, well_known::ENDPOINTS as ENDPOINT_LISTS};
use crate::object::Key;
use crate::rbac::{Action, Authorizer, User};
use crate::registry::Cluster;
use crate::status::ApiError;
use params::Params;
use path::{Route, Target};
use respond::Accept;

/// Who calls: there is one user, the holder of the token.
pub const USER: &str = "kubernetes-admin";

/// The user's groups, as kubeadm's administrator has them.
pub const GROUPS: [&str; 2] = ["system:masters", "system:authenticated"];

/// The API server over a cluster.
pub struct Api {
    cluster: Cluster,
    token: String,
    /// The key of service accounts' tokens; none where the machine gives no randomness.
    signer: Option<token::Signer>,
    authorizer: Authorizer,
    /// Roles are in force.
    rbac: bool,
    documents: discovery::Documents,
    shutdown: Shutdown,
}

/// One request, taken apart.
struct Call {
    method: Method,
    params: Params,
    accept: Accept,
    user_agent: String,
    content_type: String,
    /// Who calls, or as whom they want to be seen.
    user: User,
    /// The custom kinds as they were when the request began.
    customs: Arc<Table>,
    body: bytes::Bytes,
}

impl Api {
    /// An API that answers the holder of `token` only.
    pub fn new(cluster: Cluster, token: String, shutdown: Shutdown) -> Self {
        Self {
            cluster,
            token,
            signer: token::Signer::new(),
            authorizer: Authorizer::default(),
            rbac: false,
            documents: discovery::Documents::default(),
            shutdown,
        }
    }

    /// The same, with roles in force or not.
    #[must_use]
    pub fn with_rbac(self, rbac: bool) -> Self {
        Self { rbac, ..self }
    }

    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
        let user = self.login(request.headers())?;
        let (head, incoming) = request.into_parts();
        let customs = self.cluster.customs();
        let route = path::parse(head.uri.path(), &customs);
        if route.is_err() && self.rbac {
            // Who may not ask does not learn what is there.
            let (verb, path) = (head.method.as_str().to_lowercase(), head.uri.path().to_owned());
            self.permit(&user, &Action { verb, path, ..Action::default() })?;
        }
        let mut route = route?;
        let mut params = Params::parse(head.uri.query().unwrap_or_default())?;
        if let Route::Resource { watch: true, .. } = route {
            params.watch = true;
        }
        let header =
            |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        if self.rbac {
            self.permit(&user, &permit::action(&head.method, &route, &params, head.uri.path()))?;
        }
        let accept = Accept::parse(&header("accept"))?;
        let body = body::read(incoming, header("content-encoding")).await?;
        let call = Call {
            method: head.method,
            params,
            accept,
            user_agent: header("user-agent"),
            content_type: header("content-type"),
            user,
            customs,
            body,
        };
        // A watch on one object is a watch on a list of one.
        if let Route::Resource { target, .. } = &mut route
            && call.method == Method::GET
            && call.params.watch
            && target.subresource.is_none()
            && let Some(name) = target.name.take()
        {
            return self.watch(target, &call.with_name(&name)).await;
        }
        self.dispatch(route, call).await
    }

    async fn dispatch(self: &Arc<Self>, route: Route, call: Call) -> Result<Response<Body>, ApiError> {
        match route {
            Route::Health(check) if call.params.verbose => {
                Ok(respond::text(format!("[+]ping ok\n{check} check passed\n")))
            }
            Route::Health(_) => Ok(respond::text("ok")),
            Route::Resource { target, .. } => {
                if let Some(result) = self.subresource(&target, &call).await {
                    return result;
                }
                self.resource(target, call).await
            }
            other if call.method != Method::GET => {
                let _ = other;
                Err(ApiError::method_not_allowed())
            }
            Route::Issuer => Ok(respond::value(200, &self.issuer())),
            Route::Keys => {
                let set = self.signer.as_ref().map(token::Signer::key_set);
                Ok(respond::value(200, &set.unwrap_or_default()))
            }
            other => self.documents.answer(&other, &call.accept, &call.customs),
        }
    }

    /// What relying parties of service accounts' tokens read first (OpenID Connect discovery).
    fn issuer(&self) -> serde_json::Value {
        let info = self.cluster.get(*CONFIG_MAP, &Key::new("kube-public", "cluster-info")).map(|m| m.value());
        let server = info.as_ref().and_then(|m| m["data"]["server"].as_str()).unwrap_or_default();
        serde_json::json!({
            "issuer": token::ISSUER, "jwks_uri": format!("{server}/openid/v1/jwks"),
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    async fn resource(self: &Arc<Self>, target: Target, call: Call) -> Result<Response<Body>, ApiError> {
        let named = target.name.is_some();
        if !target.allows(&call.method, call.params.watch) {
            return Err(ApiError::method_not_allowed());
        }
        let method = call.method.clone();
        let old = [deprecated(target.kind).to_vec(), custom::warnings(&call.customs, target.kind)].concat();
        let answer = match (method, named) {
            (Method::GET, false) if call.params.watch => self.watch(&target, &call).await,
            (Method::GET, false) => self.blocking(move |api| api.list(&target, &call)).await,
            (Method::GET | Method::HEAD, true) => self.get(&target, &call),
            (Method::POST, false) => self.blocking(move |api| api.create(&target, &call)).await,
            (Method::PUT, true) => self.blocking(move |api| api.replace(&target, &call)).await,
            (Method::PATCH, true) => self.blocking(move |api| api.patch(&target, &call)).await,
            (Method::DELETE, true) => self.blocking(move |api| api.delete(&target, &call)).await,
            (Method::DELETE, false) => self.blocking(move |api| api.delete_all(&target, &call)).await,
            _ => Err(ApiError::method_not_allowed()),
        };
        answer.map(|response| respond::warn(response, &old))
    }

    /// Runs work that may take longer than an async thread should be held.
    async fn blocking<F>(self: &Arc<Self>, work: F) -> Result<Response<Body>, ApiError>
    where
        F: FnOnce(&Self) -> Result<Response<Body>, ApiError> + Send + 'static,
    {
        let api = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&api)).await;
        done.unwrap_or_else(|_| Err(ApiError::new(500, "InternalError", "the request could not be served")))
    }
}

impl Call {
    fn with_name(mut self: Call, name: &str) -> Call {
        let own = format!("metadata.name={name}");
        self.params.field_selector = match self.params.field_selector.as_str() {
            "" => own,
            given => format!("{given},{own}"),
        };
        self
    }
}

impl Handler for Api {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let head = request.method() == Method::HEAD;
        let response = self.answer(request).await.unwrap_or_else(|e| respond::error(&e));
        if head { response.map(|_| Body::full("")) } else { response }
    }
}

/// What clients are warned of when they use a kind that has a successor.
fn deprecated(kind: KindId) -> &'static [String] {
    static ENDPOINTS: LazyLock<[String; 1]> = LazyLock::new(|| {
        ["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned()]
    });
    static COMPONENTS: LazyLock<[String; 1]> =
        LazyLock::new(|| ["v1 ComponentStatus is deprecated in v1.19+".to_owned()]);
    match kind {
        k if k == *ENDPOINT_LISTS => &*ENDPOINTS,
        k if k.is("", "ComponentStatus") => &*COMPONENTS,
        _ => &[],
    }
}

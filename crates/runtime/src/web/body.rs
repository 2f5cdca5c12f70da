//! The body of a request: whole, within its row's bound, the memory of all bodies, and time.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// Why there is no body.
pub(super) type Refusal = (StatusCode, String);

/// Reads a body. What it takes of `budget` (in KiB) is given back with the permit.
pub(super) async fn read(
    mut body: Incoming,
    max: u64,
    budget: &Arc<Semaphore>,
    (silence, all): (Duration, Duration),
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Refusal> {
    let hint = body.size_hint();
    if body.is_end_stream() || hint.exact() == Some(0) {
        return Ok((Bytes::new(), None));
    }
    if hint.lower() > max {
        return Err(too_large(max));
    }
    let until = Instant::now() + all;
    // One that does not say how large it is counts as large as it may be.
    let size = hint.exact().unwrap_or(max).min(max);
    let permits = u32::try_from(size.div_ceil(1024)).unwrap_or(u32::MAX);
    let permit = timeout(silence, budget.clone().acquire_many_owned(permits)).await;
    let busy =
        || (StatusCode::SERVICE_UNAVAILABLE, "too many large requests are under way; try again".to_owned());
    let permit = permit.map_err(|_| busy())?.map_err(|_| busy())?;
    let mut whole = BytesMut::new();
    loop {
        let next = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        let frame = timeout_at(until.min(Instant::now() + silence), next).await;
        let slow = || (StatusCode::REQUEST_TIMEOUT, "the body of the request came too slowly".to_owned());
        match frame.map_err(|_| slow())? {
            None => return Ok((whole.freeze(), Some(permit))),
            Some(Err(_)) => {
                return Err((StatusCode::BAD_REQUEST, "the body of the request broke off".to_owned()));
            }
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                if (whole.len() + data.len()) as u64 > max {
                    return Err(too_large(max));
                }
                whole.extend_from_slice(&data);
            }
        }
    }
}

fn too_large(max: u64) -> Refusal {
    let words = match max {
        0 => "this route takes no body".to_owned(),
        max => format!("the body of the request is larger than {max} bytes, the most that this route takes"),
    };
    (StatusCode::PAYLOAD_TOO_LARGE, words)
}

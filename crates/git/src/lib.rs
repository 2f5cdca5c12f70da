//! Git without git: fetch, trees, history, commits, push over HTTPS. The only holder of gix.
//!
//! [`Store`] is a bare repository of our own on disk, or a temporary one; [`Local`] one of others on this
//! machine. [`Remote`] is where commits come from and go to: [`Remote::fetch`] brings one into the store,
//! [`Remote::push`] moves a ref if it is where it is expected. What is in the store is read by [`Objects`]
//! (trees, files, what changed, history) and grows by [`Store::commit`].
//!
//! Everything blocks: call it from threads that may (`spawn_blocking`), with a [`Task`] that says what the
//! operation may cost and ends it from outside. HTTP goes by the trait [`http::Http`].
//!
//! Of gix it is the crates for ids (with SHA-1 that detects collisions) and for names that are used. Packs,
//! the protocol and push are written here: gix has no push, maps files into memory, and bounds what hostile
//! packs unpack to only in part; here every size that somebody else chooses is bounded where it is read.

mod address;
mod commit;
mod credential;
mod error;
mod files;
mod history;
pub mod http;
mod local;
mod object;
mod objects;
mod pack;
pub mod pktline;
mod refs;
mod remote;
mod sign;
mod store;
mod task;
mod tree;
mod zlib;

pub use address::{Address, HttpAddress};
pub use commit::{Edit, NewCommit};
pub use credential::Credential;
pub use error::Error;
pub use gix_hash::ObjectId as Oid;
pub use history::{Ancestry, Log, MergeBase};
pub use local::{Local, init};
pub use object::{Commit, Kind, Mode, Object, Who, id_from_hex, id_of};
pub use objects::Objects;
pub use pack::checksum as pack_checksum;
pub use refs::check_name;
pub use remote::{Depth, Fetch, Fetched, Push, Pushed, Remote, RemoteRef, Report, Want, read_report};
pub use sign::SshKey;
pub use store::{Hold, Size, Store, Tidied, Tidy};
pub use task::{Cancel, Limits, Task};
pub use tree::{Change, Entry, Side, check_path};

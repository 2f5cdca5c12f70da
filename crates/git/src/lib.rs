//! Git without git: fetch, trees, history, commits, push over HTTPS. The only holder of gix.

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
pub use local::Local;
pub use object::{Commit, Kind, Mode, Object, Who, id_from_hex, id_of};
pub use objects::Objects;
pub use refs::check_name;
pub use remote::{Depth, Fetch, Fetched, Push, Pushed, Remote, RemoteRef, Report, Want, read_report};
pub use sign::SshKey;
pub use store::{Hold, Size, Store, Tidied, Tidy};
pub use task::{Cancel, Limits, Task};
pub use tree::{Change, Entry, Side, check_path};

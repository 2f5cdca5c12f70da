//! A token that tells work in progress to stop: the caller keeps one half and trips it on Ctrl-C.

use tokio::sync::watch;

/// The half that stops the work. Dropping it stops nothing.
#[derive(Debug)]
pub struct Canceller(watch::Sender<bool>);

/// The half that the work looks at. Clones see the same signal.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<bool>);

impl Canceller {
    /// A canceller with its first token.
    pub fn new() -> (Self, Cancel) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Cancel(receiver))
    }

    /// Tells the work to stop. More calls change nothing.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Cancel {
    /// A token that is never tripped.
    pub fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// True once the work was told to stop.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once the work is told to stop; never, where nobody can tell it any more.
    pub async fn cancelled(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

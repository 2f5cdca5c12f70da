//! One signal that ends the process in order.

use tokio::sync::watch;

/// Hands out [`Shutdown`]s and triggers them.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Tells its holder when to stop; clones share it.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// A trigger and what it triggers.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Asks everyone to stop.
    pub fn fire(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// It is time to stop.
    pub fn is_fired(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when it is time to stop, also when the trigger is gone.
    pub async fn fired(&mut self) {
        // An error means that nobody is left to trigger it: then there is nothing to wait for.
        let _ = self.0.wait_for(|fired| *fired).await;
    }

    /// The signal as a plain receiver.
    pub fn receiver(&self) -> watch::Receiver<bool> {
        self.0.clone()
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, or an interrupt (Ctrl-C): end.
    End,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The signals of the process, one after the other.
#[cfg(unix)]
#[derive(Debug)]
pub struct Signals([(tokio::signal::unix::Signal, Signal); 3]);

#[cfg(unix)]
impl Signals {
    /// Takes them over: from now on none ends the process by itself.
    ///
    /// # Errors
    /// Where the process may not install signal handlers.
    pub fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([
            (signal(SignalKind::terminate())?, Signal::End),
            (signal(SignalKind::interrupt())?, Signal::End),
            (signal(SignalKind::hangup())?, Signal::Reload),
        ]))
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        let [term, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = term.0.recv() => term.1,
            _ = interrupt.0.recv() => interrupt.1,
            _ = hangup.0.recv() => hangup.1,
        }
    }
}

/// The signals of the process, one after the other: here, interrupts alone.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct Signals(());

#[cfg(not(unix))]
impl Signals {
    /// Takes them over.
    ///
    /// # Errors
    /// None here.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self(()))
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::End
    }
}

/// Ends on the first interrupt (Ctrl-C) or SIGTERM.
///
/// # Errors
/// Where the process may not install signal handlers.
pub async fn signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut term = signal(SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = term.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

//! `serve` never outlives the `local` that started it: a host that dies leaves its handler running (P12).
//!
//! A pidfd of the parent is watched, not the parent-death signal: that one is sent when the *thread* that started the
//! child ends, and a runtime's threads come and go.

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, getppid, pidfd_open},
};

/// Ends this process when `parent` ends; at once if it has ended already.
pub fn end_with(parent: i32) {
    let watched = Pid::from_raw(parent).filter(|p| getppid() == Some(*p));
    let Some(fd) = watched.and_then(|p| pidfd_open(p, PidfdFlags::empty()).ok()) else { end() };
    std::thread::spawn(move || {
        loop {
            let mut fds = [PollFd::new(&fd, PollFlags::IN)];
            if poll(&mut fds, None).is_ok() {
                end();
            }
        }
    });
}

fn end() -> ! {
    // Nothing to flush: what was answered is durable, what was not will be delivered again.
    std::process::exit(1)
}

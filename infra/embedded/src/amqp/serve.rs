//! One socket: reads frames, hands them to the connection, writes what it answers, until one side has enough.

use super::{
    Shared,
    connection::{Connection, Event},
    wire::{self, Ended, Input},
};
use std::{io, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

/// Announced in `open`: who is silent for longer is gone.
pub const IDLE: Duration = Duration::from_secs(240);
/// More often than any client's idle time-out asks for.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A client that does not take what it asked for.
const WRITE_WAIT: Duration = Duration::from_secs(60);
const INPUTS_QUEUED: usize = 64;
const EVENTS_QUEUED: usize = 256;

type Inputs = mpsc::Receiver<Result<Input, Ended>>;

pub async fn serve(socket: TcpStream, shared: Shared) {
    let _ = socket.set_nodelay(true); // an answer waits for nothing
    let peer = socket.peer_addr().ok();
    shared.faults.saw_connection();
    let (reading, mut writing) = socket.into_split();
    let (inputs, frames) = mpsc::channel(INPUTS_QUEUED);
    let reader = tokio::spawn(read(reading, inputs));
    let (events, happened) = mpsc::channel(EVENTS_QUEUED);
    let mut connection = Connection::new(shared, events);
    if let Err(error) = run(&mut connection, frames, happened, &mut writing).await {
        tracing::debug!(?peer, %error, "an AMQP connection broke");
    }
    reader.abort();
    connection.end().await;
}

async fn read(mut from: OwnedReadHalf, to: mpsc::Sender<Result<Input, Ended>>) {
    loop {
        let input = wire::read(&mut from).await;
        let is_last = input.is_err();
        if to.send(input).await.is_err() || is_last {
            return;
        }
    }
}

async fn run(
    connection: &mut Connection,
    mut frames: Inputs,
    mut happened: mpsc::Receiver<Event>,
    socket: &mut OwnedWriteHalf,
) -> io::Result<()> {
    let mut beat = interval(HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    while !connection.is_over() {
        tokio::select! {
            input = frames.recv() => {
                heard = Instant::now();
                connection.take(input);
                while let Ok(input) = frames.try_recv() {
                    connection.take(Some(input));
                }
            }
            Some(event) = happened.recv() => {
                connection.on(event);
                while let Ok(event) = happened.try_recv() {
                    connection.on(event);
                }
            }
            _ = beat.tick() => {
                if heard.elapsed() > IDLE {
                    connection.give_up("amqp:resource-limit-exceeded", "nothing was heard for too long");
                }
                connection.beat();
            }
        }
        write(socket, &mut connection.out).await?;
    }
    if !connection.is_cut() {
        timeout(WRITE_WAIT, socket.shutdown()).await??;
    }
    Ok(())
}

async fn write(socket: &mut OwnedWriteHalf, out: &mut Vec<u8>) -> io::Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    timeout(WRITE_WAIT, socket.write_all(out)).await??;
    out.clear();
    Ok(())
}

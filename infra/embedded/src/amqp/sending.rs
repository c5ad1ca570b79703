//! The worker behind a link on which a client sends: takes what has come, in order, as many as there are in one go.

use super::{
    Shared,
    address::Node,
    arriving,
    codec::Value,
    connection::{Event, Of},
    faults::OnSend,
    management,
    sections::Sections,
    tokens::{self, Token},
    wire,
};
use crate::broker::Sent;
use opsloop_kernel::{Destination, Outcome};
use tokio::sync::mpsc;

/// Transfers that go to the broker in one transaction.
const TOGETHER_MAX: usize = 100;
const ACCEPTED: u64 = 0x24;
const REJECTED: u64 = 0x25;

/// One transfer of a client, whole.
pub struct Arrived {
    pub delivery: u32,
    pub format: u32,
    /// The client does not want to hear of it.
    pub is_settled: bool,
    pub bytes: Vec<u8>,
}

/// The worker ends when its channel does.
pub fn start(of: Of, node: Node, shared: Shared, events: mpsc::Sender<Event>) -> mpsc::UnboundedSender<Arrived> {
    let (sender, mut arrivals) = mpsc::unbounded_channel(); // bounded by the link's credit
    tokio::spawn(async move {
        let worker = Worker { of, shared, events };
        let mut together = Vec::new();
        while arrivals.recv_many(&mut together, TOGETHER_MAX).await > 0 {
            worker.take(&node, std::mem::take(&mut together)).await;
        }
    });
    sender
}

struct Worker {
    of: Of,
    shared: Shared,
    events: mpsc::Sender<Event>,
}

/// A transfer that is to be published, and where its messages stand among those of all.
struct Ready {
    delivery: u32,
    is_settled: bool,
    sent: Vec<Sent>,
}

pub fn accepted() -> Value {
    Value::described(ACCEPTED, Value::List(vec![]))
}

pub fn rejected(condition: &str, description: &str) -> Value {
    Value::described(REJECTED, Value::List(vec![wire::error(condition, description)]))
}

impl Worker {
    async fn take(&self, node: &Node, together: Vec<Arrived>) {
        match node {
            Node::To(destination) => self.publish(destination, together).await,
            Node::Tokens | Node::Management(_) => {
                for request in together {
                    self.request(node, request).await;
                }
            }
            // A client does not send to what it receives from.
            Node::From(_) => {}
        }
    }

    async fn publish(&self, to: &Destination, together: Vec<Arrived>) {
        let mut ready = Vec::new();
        for arrived in together {
            match self.shared.faults.next_send() {
                OnSend::Take => match self.read(to, &arrived) {
                    Ok(sent) => {
                        ready.push(Ready { delivery: arrived.delivery, is_settled: arrived.is_settled, sent });
                    }
                    Err(state) => {
                        self.publish_all(std::mem::take(&mut ready)).await;
                        self.answer(vec![(arrived.delivery, arrived.is_settled, state)]).await;
                    }
                },
                fault => {
                    self.publish_all(std::mem::take(&mut ready)).await;
                    self.go_wrong(fault, to, arrived).await;
                }
            }
        }
        self.publish_all(ready).await;
    }

    /// A batch is taken as a whole or not at all.
    fn read(&self, to: &Destination, arrived: &Arrived) -> Result<Vec<Sent>, Value> {
        let sent = arriving::sent(&arrived.bytes, arrived.format, to)
            .map_err(|why| rejected("amqp:decode-error", &why.to_string()))?;
        let refusal = sent.iter().find_map(|one| self.shared.broker.refusal(one));
        refusal.map_or(Ok(sent), |why| Err(rejected("com.microsoft:argument-error", &why)))
    }

    async fn publish_all(&self, ready: Vec<Ready>) {
        if ready.is_empty() {
            return;
        }
        let mut answers: Vec<_> = ready.iter().map(|r| (r.delivery, r.is_settled, accepted())).collect();
        let sizes: Vec<_> = ready.iter().map(|r| r.sent.len()).collect();
        match self.shared.broker.send_all(ready.into_iter().flat_map(|r| r.sent).collect()).await {
            Ok(outcomes) => {
                let mut outcomes = outcomes.into_iter();
                for (answer, size) in answers.iter_mut().zip(sizes) {
                    for outcome in outcomes.by_ref().take(size) {
                        if let Outcome::Rejected { why } = outcome {
                            answer.2 = rejected("com.microsoft:argument-error", &why);
                        }
                    }
                }
            }
            Err(fault) => {
                let why = format!("The broker failed ({}); try again.", fault.kind());
                answers.iter_mut().for_each(|answer| answer.2 = rejected("amqp:internal-error", &why));
            }
        }
        self.answer(answers).await;
    }

    async fn answer(&self, answers: Vec<(u32, bool, Value)>) {
        let count = u32::try_from(answers.len()).unwrap_or(u32::MAX);
        let heard = answers.into_iter().filter(|(_, is_settled, _)| !is_settled);
        let states = heard.map(|(delivery, _, state)| (delivery, state)).collect();
        self.tell(Event::Taken { of: self.of, count, states }).await;
    }

    async fn go_wrong(&self, fault: OnSend, to: &Destination, arrived: Arrived) {
        let is_taken = match &fault {
            OnSend::Reject { .. } => false,
            OnSend::CloseLink { taken, .. } | OnSend::CloseConnection { taken } => *taken,
            OnSend::Take | OnSend::LoseReply | OnSend::Delay(_) => true,
        };
        if let OnSend::Delay(by) = fault {
            tokio::time::sleep(by).await;
        }
        let (delivery, is_settled) = (arrived.delivery, arrived.is_settled);
        let state = if is_taken { self.take_one(to, &arrived).await } else { accepted() };
        match fault {
            OnSend::Take | OnSend::Delay(_) => self.answer(vec![(delivery, is_settled, state)]).await,
            OnSend::Reject { condition, description } => {
                self.answer(vec![(delivery, is_settled, rejected(&condition, &description))]).await;
            }
            OnSend::LoseReply => self.answer(vec![(delivery, true, state)]).await,
            OnSend::CloseLink { condition, .. } => self.tell(Event::Detach { of: self.of, condition }).await,
            OnSend::CloseConnection { .. } => self.tell(Event::Cut).await,
        }
    }

    async fn take_one(&self, to: &Destination, arrived: &Arrived) -> Value {
        let sent = match self.read(to, arrived) {
            Ok(sent) => sent,
            Err(state) => return state,
        };
        match self.shared.broker.send_all(sent).await {
            Ok(_) => accepted(),
            Err(fault) => rejected("amqp:internal-error", fault.kind()),
        }
    }

    /// `$cbs` and `$management`: an answer for each.
    async fn request(&self, node: &Node, arrived: Arrived) {
        let state = match Sections::read(&arrived.bytes) {
            Ok(request) => {
                let bytes = match node {
                    Node::Management(managed) => management::answer(&self.shared.broker, managed, &request).await,
                    _ => tokens::answer(&request, self.shared.faults.saw_token(Token::of(&request))),
                };
                let to = request.properties.field(4).as_str().unwrap_or_default().to_owned();
                self.tell(Event::Answered { of: self.of, to, bytes }).await;
                accepted()
            }
            Err(why) => rejected("amqp:decode-error", &why.to_string()),
        };
        self.answer(vec![(arrived.delivery, arrived.is_settled, state)]).await;
    }

    /// A connection that is gone does not hear it.
    async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }
}

//! The Service Bus adapter over a socket, against the AMQP front of the embedded broker: what is sent arrives, once, and
//! what is not certain is never called accepted.

mod backlog;
mod bed;
mod broken;
mod dead;
mod publishing;
mod tls;
mod tokens;

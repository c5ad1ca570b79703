//! Azure Service Bus over AMQP 1.0: publishing, backlog and dead letters.

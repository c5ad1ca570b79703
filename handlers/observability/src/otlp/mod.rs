//! OTLP as it comes: decoding, validation, normalisation and the dimensions of SPEC 5.1.2; shared by traces, metrics, logs and the receiver.

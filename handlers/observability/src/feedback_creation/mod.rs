//! FeedbackCreationWorker (SPEC 5.7).

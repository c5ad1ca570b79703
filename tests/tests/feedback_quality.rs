//! Feedback and quality on a real store, through the shell (SPEC 5.7, 5.8): events, ticks, deferrals, dead letters.

#[path = "feedback_quality/events.rs"]
mod events;
#[path = "feedback_quality/feedback.rs"]
mod feedback;
#[path = "feedback_quality/golden.rs"]
mod golden;
#[path = "feedback_quality/http.rs"]
mod http;
#[path = "feedback_quality/quality.rs"]
mod quality;
#[path = "feedback_quality/world.rs"]
mod world;

//! What lies inside a chunk: protobuf of our own, in which the structural fields of a span come first, so that a
//! derivation reads them and skips the rest unread.

use crate::otlp::{Dimensions, proto::common::v1::KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use prost::Message;

/// Spans of one trace, with the resources, scopes and dimensions they share.
#[derive(Clone, PartialEq, Message)]
pub struct Chunk {
    #[prost(message, repeated, tag = "1")]
    pub origins: Vec<Origin>,
    #[prost(message, repeated, tag = "2")]
    pub dimensions: Vec<StoredDimensions>,
    #[prost(message, repeated, tag = "3")]
    pub spans: Vec<StoredSpan>,
}

/// The same, read for a derivation.
#[derive(Clone, PartialEq, Message)]
pub struct ChunkOutline {
    #[prost(message, repeated, tag = "2")]
    pub dimensions: Vec<StoredDimensions>,
    #[prost(message, repeated, tag = "3")]
    pub spans: Vec<StoredOutline>,
}

/// Who made a span: resource attributes (the originals of A46 among them) and the instrumentation scope.
#[derive(Clone, PartialEq, Message)]
pub struct Origin {
    #[prost(message, repeated, tag = "1")]
    pub resource: Vec<KeyValue>,
    #[prost(string, tag = "2")]
    pub scope_name: String,
    #[prost(string, tag = "3")]
    pub scope_version: String,
    #[prost(message, repeated, tag = "4")]
    pub scope: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Message)]
pub struct StoredDimensions {
    #[prost(string, optional, tag = "1")]
    pub project: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub module: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub environment: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub execution: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub agent: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub skill: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub artifact: Option<String>,
    #[prost(string, optional, tag = "8")]
    pub workflow: Option<String>,
    #[prost(string, optional, tag = "9")]
    pub version: Option<String>,
}

macro_rules! spans {
    ($(#[$doc:meta])* $name:ident { $($rest:tt)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Message)]
        pub struct $name {
            /// Big-endian, so that numbers sort as ids do.
            #[prost(fixed64, tag = "1")]
            pub span_id: u64,
            /// 0: none.
            #[prost(fixed64, tag = "2")]
            pub parent: u64,
            #[prost(fixed64, tag = "3")]
            pub start: u64,
            #[prost(fixed64, tag = "4")]
            pub end: u64,
            #[prost(int32, tag = "5")]
            pub kind: i32,
            #[prost(int32, tag = "6")]
            pub status: i32,
            /// Bits of `SpanFlag`.
            #[prost(uint32, tag = "7")]
            pub marks: u32,
            #[prost(string, tag = "8")]
            pub name: String,
            #[prost(bytes = "vec", tag = "9")]
            pub hash: Vec<u8>,
            #[prost(string, optional, tag = "10")]
            pub error_type: Option<String>,
            /// An HTTP status of 500 and more, or an RPC code that blames the server.
            #[prost(bool, tag = "11")]
            pub server_error: bool,
            /// Index into `dimensions` of the chunk.
            #[prost(uint32, tag = "12")]
            pub dimensions: u32,
            $($rest)*
        }
    };
}

spans! {
    /// What a derivation reads of a span.
    StoredOutline {}
}
spans! {
    /// A span, whole.
    StoredSpan {
        /// Index into `origins` of the chunk.
        #[prost(uint32, tag = "13")]
        pub origin: u32,
        #[prost(string, tag = "20")]
        pub trace_state: String,
        #[prost(fixed32, tag = "21")]
        pub flags: u32,
        #[prost(message, repeated, tag = "22")]
        pub attributes: Vec<KeyValue>,
        #[prost(uint32, tag = "23")]
        pub dropped_attributes: u32,
        #[prost(message, repeated, tag = "24")]
        pub events: Vec<Event>,
        #[prost(uint32, tag = "25")]
        pub dropped_events: u32,
        #[prost(message, repeated, tag = "26")]
        pub links: Vec<Link>,
        #[prost(uint32, tag = "27")]
        pub dropped_links: u32,
        #[prost(string, tag = "28")]
        pub status_message: String,
    }
}

impl From<Dimensions> for StoredDimensions {
    fn from(d: Dimensions) -> Self {
        Self {
            project: d.project,
            module: d.module,
            environment: d.environment,
            execution: d.execution,
            agent: d.agent,
            skill: d.skill,
            artifact: d.artifact,
            workflow: d.workflow,
            version: d.version,
        }
    }
}

impl From<StoredDimensions> for Dimensions {
    fn from(d: StoredDimensions) -> Self {
        Self {
            project: d.project,
            module: d.module,
            environment: d.environment,
            execution: d.execution,
            agent: d.agent,
            skill: d.skill,
            artifact: d.artifact,
            workflow: d.workflow,
            version: d.version,
        }
    }
}

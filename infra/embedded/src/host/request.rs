//! The bytes of an invocation in the default mode.

use super::ids::Ids;
use super::wire::latin1;

/// The host that was recorded: handlers see it in two headers.
pub const HOST_VERSION: &str = "4.1037.0.0";
/// The host writes its body through a buffer of this many UTF-16 units, and each full buffer becomes one chunk.
const CHUNK_UNITS: usize = 1_024;
/// Legal, never seen, and good at finding readers that take a chunk for a whole character. A prime, so that it hits anything.
const HARSH_CHUNK_BYTES: usize = 13;

/// How the body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyFraming {
    /// As in Azure.
    #[default]
    Chunked,
    /// As under the func CLI.
    ContentLength,
    /// Chunked in the middle of characters.
    Harsh,
}

/// What the host traces with: it decides whether there is a `traceparent` and what its flags say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Telemetry {
    #[default]
    None,
    /// Messages and timers get a fresh trace with flags 00: a parent-based sampler drops them all.
    ApplicationInsights,
    /// An ActivityListener, as OpenTelemetry is one: flags 01.
    Listener,
}

/// What a client sent of its own trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTrace {
    pub traceparent: Option<String>,
    pub tracestate: Option<String>,
    pub baggage: Option<String>,
}

impl Telemetry {
    /// The trace headers of a call, in order.
    pub(super) fn headers(self, client: &ClientTrace, ids: &Ids) -> Vec<(String, String)> {
        let fresh = match self {
            Self::None => return Vec::new(),
            Self::ApplicationInsights => "00",
            Self::Listener => "01",
        };
        let mut headers = Vec::new();
        let parts: Vec<&str> = client.traceparent.as_deref().unwrap_or_default().split('-').collect();
        let parent = match parts[..] {
            [_, trace, _, flags] => format!("00-{trace}-{}-{flags}", ids.span_id()),
            _ => format!("00-{}-{}-{fresh}", ids.trace_id(), ids.span_id()),
        };
        headers.push(("traceparent".to_owned(), parent));
        if let Some(state) = &client.tracestate {
            headers.push(("tracestate".to_owned(), state.clone()));
        }
        if let Some(baggage) = &client.baggage {
            // .NET 10 writes each `k=v` anew with blanks.
            let spaced: Vec<String> = baggage.split(',').map(|pair| pair.trim().replacen('=', " = ", 1)).collect();
            headers.push(("baggage".to_owned(), spaced.join(", ")));
        }
        headers
    }
}

/// One call, ready to be sent to a port.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    pub function: &'a str,
    pub invocation: &'a str,
    pub json: &'a str,
    pub trace: &'a [(String, String)],
    pub framing: BodyFraming,
}

impl Call<'_> {
    pub fn bytes(&self, port: u16) -> Vec<u8> {
        let chunked = self.framing != BodyFraming::ContentLength;
        let mut head = format!(
            "POST /{} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Azure-Functions-HostVersion: {HOST_VERSION}\r\n\
             X-Azure-Functions-InvocationId: {}\r\nUser-Agent: Azure-Functions-Host/{HOST_VERSION}\r\n",
            self.function, self.invocation
        );
        if chunked {
            head.push_str("Transfer-Encoding: chunked\r\n");
        }
        for (name, value) in self.trace {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("Content-Type: application/json; charset=utf-8\r\n");
        if !chunked {
            head.push_str(&format!("Content-Length: {}\r\n", self.json.len()));
        }
        head.push_str("\r\n");
        let mut bytes = latin1(&head);
        self.push_body(&mut bytes);
        bytes
    }

    fn push_body(&self, bytes: &mut Vec<u8>) {
        match self.framing {
            BodyFraming::ContentLength => bytes.extend_from_slice(self.json.as_bytes()),
            BodyFraming::Chunked => push_chunks(bytes, host_chunks(self.json).into_iter().map(str::as_bytes)),
            BodyFraming::Harsh => push_chunks(bytes, self.json.as_bytes().chunks(HARSH_CHUNK_BYTES)),
        }
    }
}

fn push_chunks<'a>(bytes: &mut Vec<u8>, chunks: impl Iterator<Item = &'a [u8]>) {
    for piece in chunks {
        bytes.extend_from_slice(&super::wire::chunk(piece));
    }
    bytes.extend_from_slice(super::wire::LAST_CHUNK);
}

/// Cuts at every 1,024th UTF-16 unit; a pair that the cut would split goes whole into the next chunk.
fn host_chunks(text: &str) -> Vec<&str> {
    let mut chunks = Vec::new();
    let (mut start, mut units) = (0, 0);
    for (at, letter) in text.char_indices() {
        let last_unit = units + letter.len_utf16() - 1;
        if last_unit / CHUNK_UNITS > chunks.len() {
            chunks.push(&text[start..at]);
            start = at;
        }
        units = last_unit + 1;
    }
    if start < text.len() {
        chunks.push(&text[start..]);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::host_chunks;

    #[test]
    fn chunks_are_counted_in_utf16_units_and_never_split_a_pair() {
        let text = format!("{}\u{1f600}{}", "ž".repeat(1_023), "a".repeat(2_000));
        let chunks = host_chunks(&text);
        assert_eq!(chunks.concat(), text);
        let units: Vec<usize> = chunks.iter().map(|chunk| chunk.encode_utf16().count()).collect();
        assert_eq!(units, [1_023, 1_025, 977]);
    }
}

// Sends a trace over two services, metrics and logs with the JavaScript SDK: `node otlp_javascript.mjs BASE_URL`.
// Four times: protobuf and JSON, each plain and with gzip, under service names of their own. Prints what a platform
// must know afterwards, a JSON object a line, for read_back.py. Where to send, the exporters themselves learn from
// OTEL_EXPORTER_OTLP_ENDPOINT, as in any instrumented program.
import { randomUUID } from 'node:crypto';
import {
  context,
  diag,
  propagation,
  trace,
  DiagLogLevel,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
} from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import { OTLPLogExporter as JsonLogs } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPLogExporter as ProtoLogs } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter as JsonMetrics } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtoMetrics } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter as JsonTraces } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoTraces } from '@opentelemetry/exporter-trace-otlp-proto';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { AggregationType, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const NAMESPACE = 'clients';
const EXPORTERS = { protobuf: [ProtoTraces, ProtoMetrics, ProtoLogs], json: [JsonTraces, JsonMetrics, JsonLogs] };
process.env.OTEL_EXPORTER_OTLP_ENDPOINT ??= process.argv[2];

// The exporters swallow failures and log them: no log is no failure.
const complaints = [];
const complain = (...parts) => complaints.push(parts.map(String).join(' '));
diag.setLogger({ error: complain, warn: complain, info() {}, debug() {}, verbose() {} }, DiagLogLevel.WARN);

class Providers {
  constructor(service, [Traces, Metrics, Logs]) {
    this.service = service;
    const resource = defaultResource().merge(
      resourceFromAttributes({
        'service.namespace': NAMESPACE,
        'service.name': service,
        'deployment.environment.name': 'test',
      }),
    );
    this.tracers = new NodeTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(new Traces())] });
    this.meters = new MeterProvider({
      resource,
      readers: [new PeriodicExportingMetricReader({ exporter: new Metrics() })],
      views: [{ instrumentName: 'client.exponential', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
    });
    this.loggers = new LoggerProvider({
      resource,
      processors: [new BatchLogRecordProcessor({ exporter: new Logs() })],
    });
    this.tracer = this.tracers.getTracer('tests.clients', '1.0.0');
  }

  log(severityNumber, body, of = context.active()) {
    const severityText = SeverityNumber[severityNumber];
    this.loggers
      .getLogger('tests.clients')
      .emit({ severityNumber, severityText, body, attributes: { client: 'javascript' }, context: of });
  }

  // Exports what is left, as at the end of any process.
  async shutDown() {
    await this.tracers.shutdown();
    await this.meters.shutdown();
    await this.loggers.shutdown();
  }
}

new NodeTracerProvider().register(); // once, for the propagator and the context manager
const run = randomUUID().slice(0, 8);
for (const encoding of Object.keys(EXPORTERS)) {
  for (const compression of ['none', 'gzip']) {
    // The variable that a user would set. The exporters take it when they are made.
    process.env.OTEL_EXPORTER_OTLP_COMPRESSION = compression;
    const name = `js-${encoding}-${compression}-${run}`;
    const [front, back] = ['front', 'back'].map((end) => new Providers(`${name}-${end}`, EXPORTERS[encoding]));
    const expectation = send(name, front, back);
    await front.shutDown();
    await back.shutDown();
    console.log(JSON.stringify(expectation));
  }
}
if (complaints.length > 0) {
  console.error(`the SDK complained ${complaints.length} times, first:\n${complaints.slice(0, 3).join('\n')}`);
  process.exit(1);
}

function send(name, front, back) {
  const traceId = sendTrace(front, back);
  front.log(SeverityNumber.INFO, 'a log of no trace', ROOT_CONTEXT);
  sendMetrics(front);
  const matchers = [{ label: 'moduleId', op: '=', value: front.service }];
  return {
    about: `JavaScript SDK, ${name}`,
    trace: {
      traceId,
      status: 'error',
      completeness: 'complete',
      projectId: NAMESPACE,
      environment: 'test',
      services: [front.service, back.service].sort(),
      rootSpanName: 'GET /basket',
      spans: { 'GET /basket': 'error', GET: 'unset', 'GET /price': 'ok', compute: 'error' },
    },
    logs: [
      ['info', 'a basket is asked for'],
      ['error', 'the price could not be computed'],
    ],
    metrics: [
      { metricName: 'client.counter', kind: 'counter', unit: '{thing}', matchers, aggregation: 'sum', value: 6 },
      { metricName: 'client.gauge', kind: 'gauge', unit: '{thing}', matchers, aggregation: 'last', value: 42.5 },
      { metricName: 'client.histogram', kind: 'histogram', unit: 's', matchers, aggregation: 'count', value: 4 },
      { metricName: 'client.histogram', kind: 'histogram', unit: 's', matchers, aggregation: 'sum', value: 3.85 },
      {
        metricName: 'client.exponential',
        kind: 'exponential_histogram',
        unit: 's',
        matchers,
        aggregation: 'count',
        value: 5,
      },
      {
        metricName: 'client.exponential',
        kind: 'exponential_histogram',
        unit: 's',
        matchers,
        aggregation: 'sum',
        value: 31,
      },
    ],
  };
}

function sendTrace(front, back) {
  const headers = {};
  const root = front.tracer.startSpan(
    'GET /basket',
    { kind: SpanKind.SERVER, attributes: { 'http.route': '/basket' } },
    ROOT_CONTEXT,
  );
  const inRoot = trace.setSpan(ROOT_CONTEXT, root);
  front.log(SeverityNumber.INFO, 'a basket is asked for', inRoot);
  const call = front.tracer.startSpan('GET', { kind: SpanKind.CLIENT }, inRoot);
  propagation.inject(trace.setSpan(inRoot, call), headers);

  const price = back.tracer.startSpan(
    'GET /price',
    { kind: SpanKind.SERVER },
    propagation.extract(ROOT_CONTEXT, headers),
  );
  const inPrice = trace.setSpan(ROOT_CONTEXT, price);
  const compute = back.tracer.startSpan('compute', { attributes: { 'error.type': 'RangeError' } }, inPrice);
  try {
    (1).toFixed(1000);
  } catch (error) {
    compute.recordException(error);
    compute.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
  }
  back.log(SeverityNumber.ERROR, 'the price could not be computed', trace.setSpan(inPrice, compute));
  compute.end();
  price.setStatus({ code: SpanStatusCode.OK });
  price.end();
  call.end();
  root.setAttribute('http.response.status_code', 500);
  root.setStatus({ code: SpanStatusCode.ERROR });
  root.end();
  return root.spanContext().traceId;
}

function sendMetrics(front) {
  const meter = front.meters.getMeter('tests.clients', '1.0.0');
  const counter = meter.createCounter('client.counter', { unit: '{thing}' });
  for (const amount of [1, 2, 3]) counter.add(amount, { kind: `kind-${amount}` });
  meter.createGauge('client.gauge', { unit: '{thing}' }).record(42.5);
  const histogram = meter.createHistogram('client.histogram', {
    unit: 's',
    advice: { explicitBucketBoundaries: [0.1, 0.5, 1, 5] },
  });
  for (const value of [0.05, 0.3, 1.0, 2.5]) histogram.record(value);
  const exponential = meter.createHistogram('client.exponential', { unit: 's' });
  for (const value of [1, 2, 4, 8, 16]) exponential.record(value);
}

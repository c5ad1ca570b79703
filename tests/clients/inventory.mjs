// The JavaScript service of the recorded shop. The caller says what time it is (header sim-now-us, microseconds after
// the base instant) and is told how long the answer took (sim-elapsed-us); the SDK reads the simulated clock.
// Usage: node inventory.mjs OTLP_ENDPOINT BASE_MS; prints its port; POST /-/metrics and /-/spans-and-logs flush.
import { createServer } from 'node:http';

const [endpoint, baseText] = process.argv.slice(2);
const base = Number(baseText);
let elapsedMs = 0;
// Before any SDK module is loaded: both clocks that it reads.
Date.now = () => Math.floor(base + elapsedMs);
Object.defineProperty(performance, 'timeOrigin', { value: base });
performance.now = () => elapsedMs;

const { context, propagation, trace, SpanKind, SpanStatusCode, ROOT_CONTEXT } = await import('@opentelemetry/api');
const { SeverityNumber } = await import('@opentelemetry/api-logs');
const { defaultResource, resourceFromAttributes } = await import('@opentelemetry/resources');
const { NodeTracerProvider, BatchSpanProcessor, ParentBasedSampler, AlwaysOnSampler } =
  await import('@opentelemetry/sdk-trace-node');
const { MeterProvider, PeriodicExportingMetricReader, AggregationType } = await import('@opentelemetry/sdk-metrics');
const { LoggerProvider, BatchLogRecordProcessor } = await import('@opentelemetry/sdk-logs');
const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-proto');
const { OTLPMetricExporter } = await import('@opentelemetry/exporter-metrics-otlp-proto');
const { OTLPLogExporter } = await import('@opentelemetry/exporter-logs-otlp-proto');

const NEVER_MS = 24 * 3600 * 1000; // only explicit flushes export, so that requests are the same each time
const BATCH_MAX = 4096;
const DURATION_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const SKUS = ['mug', 'shirt', 'poster', 'sticker', 'lamp'];
const LOCK_CONFLICTS = 0.0004; // the faults of a healthy shop

const random = seeded(0x5eed);
const stock = new Map(SKUS.map((sku) => [sku, 900 + Math.floor(random() * 600)]));

const resource = defaultResource().merge(
  resourceFromAttributes({
    'service.namespace': 'shop',
    'service.name': 'inventory',
    'service.version': '5.1.0',
    'service.instance.id': 'inventory-0',
    'deployment.environment.name': 'production',
  }),
);
const exporting = (signal) => ({ url: `${endpoint}/v1/${signal}`, compression: 'gzip' });
const batching = { scheduledDelayMillis: NEVER_MS, maxQueueSize: BATCH_MAX, maxExportBatchSize: BATCH_MAX };

const tracers = new NodeTracerProvider({
  resource,
  sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }),
  idGenerator: { generateTraceId: () => hex(4), generateSpanId: () => hex(2) },
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(exporting('traces')), batching)],
});
tracers.register();
const meters = new MeterProvider({
  resource,
  readers: [
    new PeriodicExportingMetricReader({
      exporter: new OTLPMetricExporter(exporting('metrics')),
      exportIntervalMillis: NEVER_MS,
    }),
  ],
  views: [
    {
      instrumentName: 'db.client.operation.duration',
      aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM, options: { maxSize: 80 } },
    },
  ],
});
const loggers = new LoggerProvider({
  resource,
  processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter(exporting('logs')), ...batching })],
});

const tracer = tracers.getTracer('shop.instrumentation', '1.4.0');
const logger = loggers.getLogger('shop.instrumentation', '1.4.0');
const meter = meters.getMeter('shop.instrumentation', '1.4.0');
const duration = meter.createHistogram('http.server.request.duration', {
  unit: 's',
  description: 'Duration of HTTP server requests.',
  advice: { explicitBucketBoundaries: DURATION_BOUNDS },
});
const requests = meter.createCounter('shop.requests', { unit: '{request}', description: 'Requests answered.' });
const operations = meter.createHistogram('db.client.operation.duration', {
  unit: 's',
  description: 'Duration of database operations.',
});
meter
  .createObservableGauge('inventory.stock', { unit: '{item}', description: 'Items in stock.' })
  .addCallback((result) => stock.forEach((items, sku) => result.observe(items, { 'shop.sku': sku })));

const server = createServer(async (request, response) => {
  if (request.headers['sim-now-us']) elapsedMs = Number(request.headers['sim-now-us']) / 1000;
  request.resume();
  if (request.url === '/-/metrics') {
    await meters.forceFlush();
  } else if (request.url === '/-/spans-and-logs') {
    await tracers.forceFlush();
    await loggers.forceFlush();
  } else {
    serve(request, response);
  }
  response.end();
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume().on('end', () => process.exit(0)); // ends with the recorder

function serve(request, response) {
  const started = elapsedMs;
  const sku = request.url.split('/')[2];
  const [method, route] = sku ? ['GET', '/stock/{sku}'] : ['POST', '/reservations'];
  const attributes = { 'http.request.method': method, 'http.route': route };
  const parent = propagation.extract(ROOT_CONTEXT, request.headers);
  const span = tracer.startSpan(`${method} ${route}`, { kind: SpanKind.SERVER, attributes }, parent);
  const [status, errorType] = context.with(trace.setSpan(parent, span), () => (sku ? look(sku) : reserve(span)));
  attributes['http.response.status_code'] = status;
  span.setAttribute('http.response.status_code', status);
  if (errorType) {
    attributes['error.type'] = errorType;
    span.setAttribute('error.type', errorType);
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  duration.record((elapsedMs - started) / 1000, attributes);
  requests.add(1, attributes);
  span.end();
  response.setHeader('sim-elapsed-us', Math.round((elapsedMs - started) * 1000));
  response.setHeader('error-type', errorType ?? '');
  response.statusCode = status;
}

function look(sku) {
  database('SELECT', 4);
  return [stock.has(sku) ? 200 : 404];
}

function reserve(span) {
  const sku = SKUS[Math.floor(random() * SKUS.length)];
  span.setAttribute('shop.sku', sku);
  database('SELECT', 4);
  if (random() < LOCK_CONFLICTS) {
    log(span, SeverityNumber.ERROR, 'ERROR', 'the stock row is locked by another reservation', { 'shop.sku': sku });
    return [500, 'StockLockConflict'];
  }
  database('UPDATE', 9);
  const left = stock.get(sku) - 1;
  stock.set(sku, left > 100 ? left : left + 1200); // a delivery came
  if (left <= 100) log(span, SeverityNumber.INFO, 'INFO', 'stock replenished', { 'shop.sku': sku });
  return [201];
}

function database(operation, meanMs) {
  const attributes = { 'db.system.name': 'postgresql', 'db.operation.name': operation, 'db.collection.name': 'stock' };
  const started = elapsedMs;
  const span = tracer.startSpan(`${operation} stock`, { kind: SpanKind.CLIENT, attributes });
  elapsedMs += Math.round(meanMs * (0.5 + random() + random() * random()) * 1000) / 1000;
  operations.record((elapsedMs - started) / 1000, { 'db.operation.name': operation });
  span.end();
}

function log(span, severityNumber, severityText, body, attributes) {
  if (span.isRecording()) logger.emit({ severityNumber, severityText, body, attributes, context: context.active() });
}

function hex(words) {
  return Array.from({ length: words }, () =>
    Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0'),
  ).join('');
}

// mulberry32: small, and the same numbers on every machine.
function seeded(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

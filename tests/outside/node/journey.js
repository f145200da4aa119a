// A sender and a subscriber that know nothing of this program but its documents: nats.js and the
// CloudEvents SDK. Publishes one patient's journey, reads what the worker says of it, and proves
// each chain. Environment: BROKER (a URL), PATIENT. Prints what it saw as JSON.
import { createHash } from "node:crypto";
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { CloudEvent, HTTP } from "cloudevents";

const { BROKER, PATIENT } = process.env;
const broker = new URL(BROKER);
const SOURCE = "/foreign/scheduler";
const criteria = {
  medically_stable: true, acute_withdrawal: false, needs_24h_supervision: false, safe_home: true,
  motivated: true, needs_more_than_weekly: true, dual_diagnosis: false, severity: "moderate",
};
const decided_by = "lc-2";
const JOURNEY = [
  ["referral.received", "2026-01-05T09:00:00Z", { referral_id: "r-1" }],
  ["coverage.recorded", "2026-01-05T10:00:00Z", { status: "verified", payer: "commercial" }],
  ["screening.started", "2026-01-06T10:00:00-05:00", { screening_id: "s-1" }],
  ["screening.completed", "2026-01-06T11:00:00-05:00", { screening_id: "s-1", criteria }],
  ["decision.recorded", "2026-01-08T17:30:00Z",
    { decision_id: "d-1", to: "iop", confirm: true, decided_by, reason_code: "meets_criteria" }],
  ["safety.reported", "2026-01-19T20:40:00Z", { report_id: "sr-1", kind: "relapse" }],
  ["contact.made", "2026-01-20T14:00:00Z", { channel: "pigeon", reached: true }],
  ["discharge.recorded", "2026-03-27T15:00:00Z", { reason: "completed", decided_by }],
];

const client = await connect({
  servers: broker.host,
  token: decodeURIComponent(broker.username) || undefined,
});
const js = jetstream(client);

const stored = [];
for (const [kind, time, data] of JOURNEY) {
  const event = new CloudEvent({
    type: `care.${kind}.v1`, source: SOURCE, id: `${PATIENT}-${kind}`, subject: PATIENT, time,
    traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", data,
  });
  const { body } = HTTP.structured(event); // as it would go over any transport
  stored.push((await js.publish(`care.events.${kind}.${PATIENT}`, body)).seq);
}

const consumer = await js.consumers.get("CARE_OUT", { filter_subjects: [`care.out.*.${PATIENT}`] });
const chains = {}; // subject -> sequence and digest of the last message
const seen = [];
const complaints = [];
// Across subjects there is no order, so each is waited for.
const AWAITED = [
  ({ type, data }) => type === "care.transition.occurred.v1" && data.to === "discharged",
  ({ type, data }) => type === "care.receipt.v1" && data.outcome === "parked",
  ({ type }) => type === "care.recommendation.raised.v1",
  ({ type }) => type === "care.alert.raised.v1",
];
const done = () => AWAITED.every((awaited) => seen.some(awaited));
for await (const message of await consumer.consume()) {
  const headers = { "content-type": message.headers.get("Content-Type") };
  const event = HTTP.toEvent({ headers, body: message.string() });
  event.validate(); // throws if it is no CloudEvent
  const [, , kind] = message.subject.split(".");
  if (event.subject !== PATIENT) complaints.push(`${message.subject} is about ${event.subject}`);
  if (kind !== "receipt") {
    const last = chains[message.subject] ?? { sequence: 0, digest: null };
    const { sequence, previous } = event.data;
    if (sequence !== last.sequence + 1 || previous !== last.digest)
      complaints.push(`${message.subject}: ${sequence} does not follow ${last.sequence}`);
    const digest = createHash("sha256").update(message.data).digest("hex");
    chains[message.subject] = { sequence, digest };
  }
  seen.push({ type: event.type, time: event.time, data: event.data });
  if (done()) break;
}
console.log(JSON.stringify({ stored, seen, complaints, chains }));
await client.close();

// Reads an AsyncAPI document from a file with the AsyncAPI project's own parser; prints what it
// found as JSON. Severity 0 is an error, 1 a warning, 2 a remark.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const operations = document?.operations().all() ?? [];
console.log(
  JSON.stringify({
    diagnostics: diagnostics.map(({ severity, message, path }) => ({ severity, message, path })),
    version: document?.version(),
    channels: document?.channels().all().map((channel) => channel.address()),
    received: operations.filter((operation) => operation.isReceive()).length,
    sent: operations.filter((operation) => operation.isSend()).length,
    messages: document?.allMessages().all().map((message) => ({
      name: message.name(),
      contentType: message.contentType(),
      fields: Object.keys(message.payload().properties()),
      examples: message.examples().all().length,
    })),
  }),
);

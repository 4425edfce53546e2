// Judges an AsyncAPI document on stdin by the public parser, and its examples by their schemas: prints what is wrong, one
// line each, then how many messages each channel and operation has.
const { Parser } = require("@asyncapi/parser");
const Ajv = require("ajv");

(async () => {
  const { document, diagnostics } = await new Parser().parse(require("fs").readFileSync(0, "utf8"));
  for (const { code, message, path } of diagnostics) console.log(`${code} at ${path.join(".")}: ${message}`);
  if (!document) process.exit(1);
  const judge = new Ajv({ strict: false, validateFormats: false });
  for (const message of document.components().messages().all())
    for (const example of message.examples().all())
      for (const part of ["headers", "payload"]) {
        const schema = message[part]();
        if (schema && example[part]() !== undefined && !judge.validate(schema.json(), example[part]()))
          console.log(`example of ${message.id()}: ${part}${judge.errorsText()}`);
      }
  for (const channel of document.channels().all()) console.log(`channel ${channel.id()} ${channel.messages().all().length}`);
  for (const operation of document.operations().all())
    console.log(`${operation.action()} ${operation.id()} ${operation.messages().all().length}`);
})();

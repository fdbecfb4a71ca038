// Checks workflows and actions with GitHub's language service: file names in, `file:line:column: text` out, exit 1 if there is any.
import {readFileSync} from "node:fs";
import {register} from "node:module";
import {resolve} from "node:path";
import {pathToFileURL} from "node:url";

// The package imports JSON without saying so, which this node asks for.
register("data:text/javascript," + encodeURIComponent(`
  export function load(url, context, next) {
    const json = url.startsWith("file:") && url.endsWith(".json");
    return next(url, json ? {...context, importAttributes: {type: "json"}, importAssertions: {type: "json"}} : context);
  }`));

const {validate} = await import("@actions/languageservice");
const {TextDocument} = await import("vscode-languageserver-textdocument");

let found = 0;
for (const name of process.argv.slice(2)) {
  const url = pathToFileURL(resolve(name)).href;
  const document = TextDocument.create(url, url.endsWith("/action.yml") ? "github-actions-action" : "github-actions-workflow", 0,
    readFileSync(name, "utf-8"));
  for (const {message, range: {start}} of await validate(document, {})) {
    process.stdout.write(`${name}:${start.line + 1}:${start.character + 1}: ${message}\n`);
    found += 1;
  }
}
process.exit(found ? 1 : 0);

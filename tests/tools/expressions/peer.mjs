// Evaluates expressions with GitHub's own package: one JSON line in ({text, contexts}), one out ({value, parsed} or {error, parsed}).
import {createInterface} from "node:readline";
import {Evaluator, Lexer, Parser, data} from "@actions/expressions";

// JSON has no NaN and no infinity: they travel as {"$number": text}.
function plain(value) {
  switch (value.kind) {
    case data.Kind.Null:
      return null;
    case data.Kind.Number:
      return Number.isFinite(value.value) ? value.value : {$number: String(value.value)};
    case data.Kind.Array:
      return value.values().map(plain);
    case data.Kind.Dictionary:
      return Object.fromEntries(value.pairs().map(pair => [pair.key, plain(pair.value)]));
    default:
      return value.value;
  }
}

function answer({text, contexts}) {
  let tree;
  try {
    tree = new Parser(new Lexer(text).lex().tokens, Object.keys(contexts), []).parse();
    if (tree === undefined) {
      return {error: "no expression", parsed: false};
    }
  } catch (error) {
    return {error: String(error.message), parsed: false};
  }
  try {
    const values = JSON.parse(JSON.stringify(contexts), data.reviver);
    return {value: plain(new Evaluator(tree, values).evaluate()), parsed: true};
  } catch (error) {
    return {error: String(error.message), parsed: true};
  }
}

for await (const line of createInterface({input: process.stdin})) {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + "\n");
}

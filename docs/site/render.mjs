// TeX in, MathML out: one JSON object a line, {"tex", "display"} to {"mathml"} or {"error"}.
import { createInterface } from 'node:readline';
import temml from 'temml';

const options = { strict: true, throwOnError: true, annotate: true, wrap: 'none' };

createInterface({ input: process.stdin }).on('line', (line) => {
  const { tex, display } = JSON.parse(line);
  let answer;
  try {
    answer = { mathml: temml.renderToString(tex, { ...options, displayMode: display }) };
  } catch (error) {
    answer = { error: String(error.message || error).trim() };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
});

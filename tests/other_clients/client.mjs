// The broker's socket through Node's http: prints {status, headers, body} of one request as JSON.
// usage: node client.mjs SOCKET METHOD TARGET HEADERS-AS-JSON [LINES]     LINES: hang up after so many lines
import http from 'node:http';

const [socketPath, method, path, headers, lines] = process.argv.slice(2);
const request = http.request({ socketPath, method, path, headers: { host: 'localhost', ...JSON.parse(headers) } });
request.on('response', (response) => {
  let body = '';
  const finish = () => {
    console.log(JSON.stringify({ status: response.statusCode, headers: response.headers, body }));
    request.destroy();
  };
  response.setEncoding('utf8');
  response.on('data', (chunk) => {
    body += chunk;
    if (lines && body.split('\n').length > Number(lines)) finish();
  });
  if (!lines) response.on('end', finish);
});
request.end();

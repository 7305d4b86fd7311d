// npm oidc-provider (OpenID-certified) on loopback TLS, for the contract tests: a strict provider that others wrote.
//
//   TLS_FILE=chain-and-key.pem [SHAPE=b2c] node oidc_provider.mjs      prints "listening PORT" when it answers
//
// SHAPE=b2c puts it behind Azure AD B2C's paths, with an issuer that carries a GUID as B2C's does. PKCE is required,
// refresh tokens rotate, a used one revokes the whole grant. What a test does to it goes through POST /__admin/...:
//   rotate       a new signing key; the old one stays published
//   rotate-hard  a new signing key; the old one is withdrawn
//   expire       every refresh token is past its life
//   grants       what was asked with refresh tokens so far, as JSON: fingerprints of the token sent and of the one given
import fs from 'node:fs';
import https from 'node:https';
import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto';
import { Provider } from 'oidc-provider';

const LIFE_SECONDS = 300;
const DAY_SECONDS = 86_400;
const B2C = process.env.SHAPE === 'b2c';
const MOUNT = B2C ? '/tenant.onmicrosoft.com/b2c_1_signin' : '';
const B2C_ROUTES = {
  authorization: '/oauth2/v2.0/authorize',
  token: '/oauth2/v2.0/token',
  revocation: '/oauth2/v2.0/revoke',
  jwks: '/discovery/v2.0/keys',
};
const REDIRECT_URI = 'http://localhost:8400/callback';

// One memory for every Provider: a new signing key means a new Provider, and grants must outlive it.
const memory = new Map();
class Memory {
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  async upsert(id, payload) {
    memory.set(this.key(id), payload);
    if (payload.uid) memory.set(`uid:${payload.uid}`, id);
    if (payload.grantId) {
      const grant = `grant:${payload.grantId}`;
      memory.set(grant, [...(memory.get(grant) ?? []), this.key(id)]);
    }
  }
  async find(id) { return memory.get(this.key(id)); }
  async findByUid(uid) { return this.find(memory.get(`uid:${uid}`)); }
  async destroy(id) { memory.delete(this.key(id)); }
  async consume(id) { memory.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async revokeByGrantId(grantId) {
    for (const key of memory.get(`grant:${grantId}`) ?? []) memory.delete(key);
    memory.delete(`grant:${grantId}`);
  }
}

const grants = [];
const fingerprint = (secret) => createHash('sha256').update(secret ?? '').digest('hex').slice(0, 8);
function note(ctx, refusal) {
  const { grant_type: type, refresh_token: sent } = ctx.oidc.params ?? {};
  if (type !== 'refresh_token') return;
  const given = refusal ? null : fingerprint(ctx.body.refresh_token);
  grants.push({ sent: fingerprint(sent), given, refusal: refusal?.error_detail ?? null });
}

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: randomUUID() };
}

function client(id, method, secret) {
  return {
    client_id: id,
    ...(secret && { client_secret: secret }),
    token_endpoint_auth_method: method,
    application_type: 'native',
    redirect_uris: [REDIRECT_URI],
    response_types: ['code'],
    grant_types: ['authorization_code', 'refresh_token'],
  };
}

function newProvider(issuer, keys) {
  const provider = new Provider(issuer, {
    adapter: Memory,
    clients: [
      client('broker-public', 'none'),
      client('broker-post', 'client_secret_post', 'secret of broker-post: + & % /'),
      client('broker-basic', 'client_secret_basic', 'secret of broker-basic: + & % /'),
      client('another-application', 'none'),
    ],
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    jwks: { keys },
    cookies: { keys: ['of a test'] },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    features: { devInteractions: { enabled: true }, revocation: { enabled: true } },
    ttl: {
      IdToken: LIFE_SECONDS, AccessToken: LIFE_SECONDS, AuthorizationCode: 60, Interaction: 600,
      RefreshToken: DAY_SECONDS, Grant: DAY_SECONDS, Session: DAY_SECONDS,
    },
    ...(B2C && { routes: B2C_ROUTES }),
  });
  provider.on('grant.error', note);
  provider.on('grant.success', (ctx) => note(ctx));
  return provider.callback();
}

const pem = fs.readFileSync(process.env.TLS_FILE);
const server = https.createServer({ key: pem, cert: pem });
server.listen(0, '127.0.0.1', () => {
  const origin = `https://localhost:${server.address().port}`;
  const issuer = B2C ? `${origin}/11111111-2222-3333-4444-555555555555/v2.0/` : origin;
  let keys = [newKey()];
  let answer = newProvider(issuer, keys);

  const admin = {
    '/__admin/rotate': () => { keys = [newKey(), ...keys]; answer = newProvider(issuer, keys); },
    '/__admin/rotate-hard': () => { keys = [newKey()]; answer = newProvider(issuer, keys); },
    '/__admin/expire': () => {
      for (const [key, payload] of memory) if (key.startsWith('RefreshToken:')) payload.exp = 1;
    },
    '/__admin/grants': () => JSON.stringify(grants),
  };

  server.on('request', (request, response) => {
    if (request.method === 'POST' && admin[request.url]) {
      response.end(admin[request.url]());
      return;
    }
    if (B2C && !request.url.startsWith('/interaction/')) { // the pages' own links are root-relative
      if (!request.url.toLowerCase().startsWith(MOUNT)) { response.statusCode = 404; response.end(); return; }
      request.url = request.url.slice(MOUNT.length).replace(/^\/v2\.0(?=\/\.well-known\/)/, '') || '/';
      request.originalUrl = MOUNT + request.url; // from which the provider derives where it is mounted
    }
    answer(request, response);
  });
  console.log(`listening ${server.address().port}`);
});

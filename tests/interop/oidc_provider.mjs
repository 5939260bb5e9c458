// A real OpenID Provider on localhost, for tests and for `make demo LOGIN=oidc`.
//
//   node oidc_provider.mjs '{"port": 0, "client_id": "…", "client_secret": "…",
//                            "redirect_uris": ["…"], "people": {"name": {claims}}, "ahead": 0}'
//
// Says its issuer as a JSON line, ends when its standard input does unless it is to *stay*. People sign in by name alone:
// who they are is not what is tested here. *ahead* is by how many seconds its clock is put forward.
import { createServer } from 'node:http';
import { randomBytes } from 'node:crypto';

import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

const options = JSON.parse(process.argv[2]);
const clock = Date.now;
Date.now = () => clock() + (options.ahead ?? 0) * 1000;
const server = createServer((request, response) => handle(request, response));
let handle = (_request, response) => response.destroy();
await new Promise((ready) => server.listen(options.port ?? 0, '127.0.0.1', ready));
const issuer = `http://localhost:${server.address().port}`;

async function key(alg) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: randomBytes(8).toString('hex') };
}

const claims = new Set(Object.values(options.people).flatMap((person) => Object.keys(person)));
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: options.client_id,
      client_secret: options.client_secret,
      redirect_uris: options.redirect_uris,
      grant_types: ['authorization_code'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
      id_token_signed_response_alg: options.algorithm ?? 'ES256',
    },
  ],
  jwks: { keys: [await key('ES256'), await key('RS256')] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  claims: { openid: ['sub'], person: [...claims] },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: false } },
  ttl: { AccessToken: 300, AuthorizationCode: 60, IdToken: 300, Interaction: 600, Session: 600, Grant: 600 },
  interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_context, id) =>
    options.people[id] && { accountId: id, claims: () => ({ sub: id, ...options.people[id] }) },
  // The agency's own client: nobody is asked whether it may know what it is for.
  async loadExistingGrant(context) {
    const grant = new provider.Grant({
      clientId: context.oidc.client.clientId,
      accountId: context.oidc.session.accountId,
    });
    grant.addOIDCScope('openid person');
    await grant.save();
    return grant;
  },
});

const page = `<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Sign in</title><link rel="icon" href="data:,"></head>
<body><main><h1>Sign in at the OpenID Provider</h1><form method="post">
<label for="name">Name</label> <input id="name" name="name" autocomplete="off">
<button id="provider-sign-in" name="action" value="sign-in">Sign in</button>
<button id="provider-cancel" name="action" value="cancel">Cancel</button>
</form></main></body></html>`;

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return new URLSearchParams(Buffer.concat(parts).toString());
}

provider.use(async (context, next) => {
  if (!context.path.startsWith('/interaction/')) return next();
  if (context.method === 'GET') {
    context.type = 'text/html';
    context.body = page;
    return undefined;
  }
  const form = await body(context.req);
  const name = form.get('name');
  const result =
    form.get('action') === 'sign-in' && options.people[name]
      ? { login: { accountId: name } }
      : { error: 'access_denied', error_description: 'nobody signed in' };
  context.respond = false;
  return provider.interactionFinished(context.req, context.res, result, {
    mergeWithLastSubmission: false,
  });
});

handle = provider.callback();
process.stdout.write(`${JSON.stringify({ issuer })}\n`);
if (!options.stay) process.stdin.on('end', () => process.exit(0)).resume();

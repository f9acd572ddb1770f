// A real OpenID Connect provider on loopback for the sign-in tests: one confidential client, anybody may sign in.
// Its interaction pages are replaced by one address that signs in as the request's login_hint and consents.
// argv: PORT REDIRECT_URI
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const [port, redirectUri] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

function key(kid) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' };
}

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'pearl',
      client_secret: 'a secret: with/signs+',
      redirect_uris: [redirectUri],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    },
  ],
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email'] },
  conformIdTokenClaims: false,
  cookies: { keys: ['test'] },
  features: { devInteractions: { enabled: false } },
  jwks: { keys: [key('one')] },
  pkce: { required: () => true },
  findAccount: async (_context, id) => ({
    accountId: id,
    claims: async () => ({
      sub: id,
      name: `Name of ${id}`,
      preferred_username: id.split('|').pop(),
      email: `${id.split('|').pop()}@example.com`,
    }),
  }),
  interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
  ttl: { IdToken: 300, AuthorizationCode: 60, Interaction: 60, Session: 60, Grant: 60, AccessToken: 60 },
});

provider.use(async (context, next) => {
  if (!context.path.startsWith('/interaction/')) {
    await next();
    return;
  }
  const { prompt, params, session } = await provider.interactionDetails(context.req, context.res);
  let result;
  if (prompt.name === 'login') {
    result = { login: { accountId: params.login_hint } };
  } else {
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope('openid profile email');
    result = { consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(context.req, context.res, result, { mergeWithLastSubmission: true });
});

provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));

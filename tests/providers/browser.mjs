// A login with headless Chromium: opens the authorization URL, does what a person would, prints the redirect URL.
// usage: node browser.mjs CHROMIUM AUTHORIZATION_URL REDIRECT_URI
import { chromium } from 'playwright-core';

const [executablePath, url, redirectUri] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const page = await browser.newPage({ ignoreHTTPSErrors: true });
const landed = new Promise((resolve) => {
  page.on('request', (request) => { if (request.url().startsWith(redirectUri)) resolve(request.url()); });
});
await page.goto(url);
await page.fill('input[name=login]', 'alice');
await page.fill('input[name=password]', 'any');
await page.click('button[type=submit]');
await page.click('button[type=submit]').catch(() => {}); // the consent page; the redirect behind it leads nowhere here
console.log(await landed);
await browser.close();

<?php
// Receives webhooks, with nothing but PHP.
//
//     WEBHOOK_SECRET=whsec_... php -S 127.0.0.1:3000 receiver.php
//
// WEBHOOK_SCHEME=body checks X-Webhook-Signature in place of webhook-signature.

const TOLERANCE_SECONDS = 5 * 60;

// webhook-signature covers the id and the time of sending too, so that nobody can send an old request again.
function verify_standard(string $secret, string $body): bool
{
    $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
    $timestamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    if (!ctype_digit($timestamp) || abs(time() - (int) $timestamp) > TOLERANCE_SECONDS) {
        return false;
    }
    $key = base64_decode(preg_replace('/^whsec_/', '', $secret));
    $expected = base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
    $found = false;
    // For a day after the secret was rotated there are two, the old one's and the new one's.
    foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $one) {
        $found = hash_equals("v1,$expected", $one) || $found;
    }
    return $found;
}

// X-Webhook-Signature covers the body alone; the key is the whole secret, as it is written.
function verify_body(string $secret, string $body): bool
{
    $expected = base64_encode(hash_hmac('sha256', $body, $secret, true));
    return hash_equals($expected, $_SERVER['HTTP_X_WEBHOOK_SIGNATURE'] ?? '');
}

// Whether an id is new. A file that only one can make; in production: a unique column, written in the transaction that
// stores the event.
function take(string $id): bool
{
    $inbox = getenv('WEBHOOK_INBOX') ?: sys_get_temp_dir() . '/webhooks';
    @mkdir($inbox);
    return (bool) @fopen($inbox . '/' . hash('sha256', $id), 'x');
}

// The bytes as they came: JSON that is parsed and written again has another signature.
$body = file_get_contents('php://input');
$secret = getenv('WEBHOOK_SECRET');
$verified = getenv('WEBHOOK_SCHEME') === 'body' ? verify_body($secret, $body) : verify_standard($secret, $body);
if (!$verified) {
    http_response_code(401);
    return;
}
$id = $_SERVER['HTTP_WEBHOOK_ID'];
if (take($id)) {
    // Put it into a queue here, and let a worker do what takes long: the answer must not wait for it.
    error_log("handled $id " . strlen($body));
}
// For a repeat as well: it is here.
http_response_code(200);

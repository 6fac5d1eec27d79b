"""Web: the public pages, one ASGI app.

`app` has the routes, `site` what every page works with, `pages` the frame and what all answers share, `widgets` the
parts of forms, `languages` their words (`texts/`, and `pages/` of the workspace).

- Links in mailings: `tracked` (pixel, clicks, view in browser) and `unsubscribing`, whose tokens never end.
- Links that end (`timed_links`): `confirming` a sign-up, `preferences`, and `rights` (a copy of one's data, erasure).
- Forms anybody may send: `signing_up`, and `rights` again, where a link is asked for. `limits` and `visitors` keep them
  from being used to flood mailboxes, `captchas` asks a service, `orders` keeps the campaigns that carry the links.
- `sign_ups`, `choices`, `rights_requests` and `used_tokens` do what the pages promise, each in one transaction.

GET shows and POST acts: scanners follow every link of a mail. A form answers everybody alike, known or not.
"""

"""Web: the public pages, one ASGI app. Each page has a file of its own; what several share has one beside them.

`app` has the routes, `server` the socket, `commands` the command line. `site` is what every page works with, by the
settings as they are now (`renewing`); `pages` has the frame and what all answers share, `widgets` the parts of forms,
`reading` what a form sent, `threads` where pages wait. `languages` has their words (`texts/`, and `pages/` of the
workspace), `speaking` names topics, addresses, days.

- Links in mailings: `tracked` (pixel, clicks, view in browser) and `unsubscribing`, whose tokens never end.
- Links that end (`timed_links`): `confirming` a sign-up, `preferences` (shown and read by `preference_form`), and
  `rights` (a copy of one's data, erasure).
- Forms anybody may send: `signing_up` (`sign_up_form`), and `rights` again, where a link is asked for. `limits` and
  `visitors` keep them from being used to flood mailboxes, `captchas` asks a service, `orders` keeps the campaigns that
  carry the links. `asking` sends the same mail for somebody at the desk.
- `events` (`event_form`) is the page of an event, `registrations` that of one's own registration, `door` checks people
  in; `surveys` asks, `inquiries` (`inquiry_form`) takes what people ask. `form_fields` are the fields that files ask
  for, `times` says when something is, `kept` what files say at present.
- `sign_ups`, `choices`, `rights_requests` and `used_tokens` do what the pages promise, each in one transaction;
  `mailboxes` finds for whom.
- `webhooks` takes the events of mail providers, `api/` what other programs tell; `calendar_feed` is for staff.

GET shows and POST acts: scanners follow every link of a mail. A form answers everybody alike, known or not.
"""

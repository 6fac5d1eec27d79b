"""Inquiries: what people ask is acknowledged, becomes somebody's task, has a deadline, and escalates when it is missed.

One comes in: `desks` (of clarion.yaml), `receiving` (from a form, a program, a mail, an employee), `owners` (whose it
is), `office_hours` (by when), `acknowledging` (by mail), `letters` (what employees read).
Where it can be: `states`.
By mail: `desk_mail` (which desk and which inquiry a mail is about), `by_mail` (what becomes of it), `tags` (the address
that ends an inquiry).
In hand: `working` (answered, dropped, called), with `calling` (by whose clock); `giving` (to somebody else), `ending`
(together with its task).
By itself: `escalating`, `digest`; `duties` lists both. At the keyboard: `commands`.
"""

"""DKIM signatures (RFC 6376, RFC 8463): mail that proves its domain.

signer = signer_for(signers(settings.dkim, workspace.root), sender_email)    # None: not signed here
signed = signer.sign(content)                    # or SigningPool().submit(signer, content).result()
"""

from delivery.dkim.pool import SigningPool
from delivery.dkim.signer import VALID_FOR, Signer
from delivery.dkim.signers import key_faults, key_remarks, signer_for, signers

__all__ = ["VALID_FOR", "Signer", "SigningPool", "key_faults", "key_remarks", "signer_for", "signers"]

"""What the wallet's acts work with; made once at start."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.crypto.keys import HolderKeys
from shared.crypto.sealing import Keyring
from shared.encoding import Clock, RandomBytes
from shared.runtime.database import Database
from shared.runtime.documents import DocumentCache
from shared.runtime.fetch import Fetcher
from shared.runtime.trust_list import TrustSource

from .attesting import Provider
from .events import Events
from .settings import WalletSettings


@dataclass(frozen=True)
class Wallet:
    """The wallet service: settings, two databases, keys, neighbours, time and chance."""

    settings: WalletSettings
    database: Database
    shares: Database
    share_keys: Callable[[], Keyring]  # around each `S`; asked for each time, since they rotate
    ceremony_keys: Keyring  # around what a browser carries between two calls
    mac_key: bytes  # indexes recovery and revocation codes
    challenge_key: bytes  # sign-in challenges
    holder_keys: HolderKeys  # makes and opens what is sealed under K_copy
    provider: Provider  # vouches for client instances and holder keys
    fetcher: Fetcher
    documents: DocumentCache
    trust: TrustSource
    events: Events
    clock: Clock
    random_bytes: RandomBytes

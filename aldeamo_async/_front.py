"""What the front door offers, but for campaigns: loaded with the first name that is asked for.

Rule: a name is imported as itself, which is how type checkers are told that it is offered; its
other place is the `__all__` of the front door.
"""

from ._bulk import Outcomes as Outcomes
from ._client import AsyncBotsClient as AsyncBotsClient
from ._drift import Drift as Drift
from ._errors import AldeamoError as AldeamoError
from ._errors import ApiError as ApiError
from ._errors import AuthError as AuthError
from ._errors import CampaignError as CampaignError
from ._errors import DeadlineExceeded as DeadlineExceeded
from ._errors import DeliveryUnknown as DeliveryUnknown
from ._errors import NetworkError as NetworkError
from ._errors import NoAnswer as NoAnswer
from ._errors import NotSent as NotSent
from ._errors import RateLimited as RateLimited
from ._errors import UnexpectedResponse as UnexpectedResponse
from ._errors import UsageError as UsageError
from ._evidence import Attempt as Attempt
from ._evidence import Evidence as Evidence
from ._evidence import Phase as Phase
from ._models import Message as Message
from ._models import Outcome as Outcome
from ._models import Outgoing as Outgoing
from ._models import ReadChannel as ReadChannel
from ._models import Receipt as Receipt
from ._models import Rejected as Rejected
from ._models import SendChannel as SendChannel
from ._models import Sent as Sent
from ._models import Unknown as Unknown
from ._models import User as User
from ._reading import Rows as Rows
from ._retry import RetryPolicy as RetryPolicy
from ._settings import Dialect as Dialect
from ._settings import Secret as Secret
from ._settings import Settings as Settings
from ._settings import Timeouts as Timeouts
from ._settle import settle as _settle
from ._stats import ClientStats as ClientStats
from ._watch import Watch as Watch
from ._watch import WatchCursor as WatchCursor
from .limits import LimiterStats as LimiterStats
from .limits import Permit as Permit
from .limits import RateLimiter as RateLimiter
from .limits import SharedTokenBucket as SharedTokenBucket
from .limits import TokenBucket as TokenBucket

_settle(*(offered for name, offered in list(globals().items()) if not name.startswith("_")))

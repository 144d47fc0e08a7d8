"""The tables. What each column means is in ``docs/data-dictionary.md``; why the heavy ones look so, in the ADRs."""

from chalicelib.db.models.accounts import ApiKey as ApiKey
from chalicelib.db.models.accounts import OwnerRule as OwnerRule
from chalicelib.db.models.accounts import Session as Session
from chalicelib.db.models.accounts import Usage as Usage
from chalicelib.db.models.accounts import UsageChange as UsageChange
from chalicelib.db.models.accounts import User as User
from chalicelib.db.models.accounts import UserIdentity as UserIdentity
from chalicelib.db.models.audits import Audit as Audit
from chalicelib.db.models.audits import AuditFinding as AuditFinding
from chalicelib.db.models.audits import AuditRange as AuditRange
from chalicelib.db.models.base import Base as Base
from chalicelib.db.models.dead_events import DeadEvent as DeadEvent
from chalicelib.db.models.files import File as File
from chalicelib.db.models.files import FileLocation as FileLocation
from chalicelib.db.models.files import FileSearch as FileSearch
from chalicelib.db.models.files import SearchQueue as SearchQueue
from chalicelib.db.models.files import Share as Share
from chalicelib.db.models.files import Upload as Upload
from chalicelib.db.models.inventories import AuditInventory as AuditInventory
from chalicelib.db.models.inventories import AuditInventoryFile as AuditInventoryFile
from chalicelib.db.models.inventories import InventoryVersion as InventoryVersion
from chalicelib.db.models.jobs import Job as Job
from chalicelib.db.models.stores import Bucket as Bucket
from chalicelib.db.models.stores import Store as Store
from chalicelib.db.models.versions import FileEvent as FileEvent
from chalicelib.db.models.versions import ObjectVersion as ObjectVersion

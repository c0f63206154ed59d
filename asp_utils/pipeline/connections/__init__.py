"""What a connection says: the fields of each type, what goes together, what a pipeline may do."""

from asp_utils.pipeline.connections.kinds import definition_faults as definition_faults
from asp_utils.pipeline.connections.kinds import definition_warnings as definition_warnings
from asp_utils.pipeline.connections.views import for_atlas as for_atlas
from asp_utils.pipeline.connections.views import secret_fields as secret_fields
from asp_utils.pipeline.connections.views import without_secrets as without_secrets

"""The function that answers each endpoint."""

from local.simulators.vastai.endpoints import Endpoint
from local.simulators.vastai.routes import charges, create, managing, reading, search, templates, user
from local.simulators.vastai.world import Handler

HANDLERS: dict[Endpoint, Handler] = {
    Endpoint.SEARCH: search.search,
    Endpoint.CREATE: create.create,
    Endpoint.SHOW: reading.show,
    Endpoint.LIST: reading.list_instances,
    Endpoint.OLD_LIST: reading.old_list,
    Endpoint.FILTERS: reading.filters,
    Endpoint.MANAGE: managing.manage,
    Endpoint.DESTROY: managing.destroy,
    Endpoint.DESTROY_MANY: managing.destroy_many,
    Endpoint.CHANGE_BID: managing.change_bid,
    Endpoint.REQUEST_LOGS: reading.request_logs,
    Endpoint.SEARCH_TEMPLATES: templates.search,
    Endpoint.USER: user.current,
    Endpoint.GPU_NAMES: search.gpu_names,
    Endpoint.CHARGES: charges.charges,
}

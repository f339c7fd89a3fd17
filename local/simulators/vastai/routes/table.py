"""Which function answers what."""

from local.simulators.vastai.endpoints import Endpoint
from local.simulators.vastai.routes import create, managing, reading, search, templates, user, volumes
from local.simulators.vastai.world import Handler

HANDLERS: dict[Endpoint, Handler] = {
    Endpoint.SEARCH: search.search,
    Endpoint.CREATE: create.create,
    Endpoint.SHOW: reading.show,
    Endpoint.LIST: reading.list_instances,
    Endpoint.OLD_LIST: reading.old_list,
    Endpoint.FILTERS: reading.filters,
    Endpoint.MANAGE: managing.manage,
    Endpoint.MANAGE_MANY: managing.manage_many,
    Endpoint.DESTROY: managing.destroy,
    Endpoint.DESTROY_MANY: managing.destroy_many,
    Endpoint.REBOOT: managing.reboot,
    Endpoint.RECYCLE: managing.recycle,
    Endpoint.CHANGE_BID: managing.change_bid,
    Endpoint.UPDATE_TEMPLATE: managing.update_template,
    Endpoint.REQUEST_LOGS: reading.request_logs,
    Endpoint.SEARCH_TEMPLATES: templates.search,
    Endpoint.CREATE_TEMPLATE: templates.create,
    Endpoint.EDIT_TEMPLATE: templates.edit,
    Endpoint.DELETE_TEMPLATE: templates.delete,
    Endpoint.LIST_VOLUMES: volumes.list_volumes,
    Endpoint.SEARCH_VOLUMES: volumes.search,
    Endpoint.CREATE_VOLUME: volumes.create,
    Endpoint.DELETE_VOLUME: volumes.delete,
    Endpoint.USER: user.current,
    Endpoint.GPU_NAMES: search.gpu_names,
}

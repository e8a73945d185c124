# What the collection of CloudNativePG's extension images wants to know.
metadata = {
  name                     = "durable-wf"
  sql_name                 = "durable_wf"
  image_name               = "durable-wf"
  licenses                 = ["PostgreSQL"]
  shared_preload_libraries = ["durable_wf"]
  extension_control_path   = []
  dynamic_library_path     = []
  ld_library_path          = ["system"]
  bin_path                 = []
  env                      = {}
  auto_update_os_libs      = true
  required_extensions      = []
  create_extension         = true

  versions = {
    trixie = {
      "18" = "1.0.0-1"
    }
  }
}

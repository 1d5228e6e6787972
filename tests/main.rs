mod plugin;
